"""One of our engines, `forward -> (y, saved)` and `backward(saved, dy)`, as values and vjps."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leakysm.backends.protocol import Engine
from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters.implementation import HostArray, as_tuple


class EngineImplementation:
    """All registered operations of an engine, on its device."""

    def __init__(self, engine: Engine):
        self.engine, self.name = engine, engine.name
        self.versions: Mapping[str, str] = {
            "leakysm": importlib.metadata.version("leakysm"),
            engine.xp.__name__.partition(".")[0]: str(engine.xp.__version__),
        }

    def offers(self, operation: str, part: str) -> bool:
        return operation in OPERATIONS

    def _given(self, operation: str, arguments: Sequence[Any]) -> list[Any]:
        return [self.engine.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]

    def _host(self, results: Any) -> tuple[HostArray, ...]:
        return tuple(np.asarray(self.engine.to_host(a)) for a in as_tuple(results))

    def value(self, operation: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[HostArray, ...]:
        y, _ = self.engine.operation(operation).forward(*self._given(operation, arguments), **parameters)
        return self._host(y)

    def vjp(
        self, operation: str, arguments: Sequence[Any], dy: HostArray, parameters: Mapping[str, Any]
    ) -> tuple[HostArray, ...]:
        pair = self.engine.operation(operation)
        _, saved = pair.forward(*self._given(operation, arguments), **parameters)
        return self._host(pair.backward(saved, self.engine.asarray(dy)))

    def keywords(self, operation: str, part: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return parameters

    def snippet(self, operation: str, part: str) -> tuple[list[str], str, str]:
        imports = ["import numpy as np", "import leakysm as lk", f'engine = lk.backend("{self.name}")']
        imports.append(f'pair = engine.operation("{operation}")')
        call = "y, saved = pair.forward({arguments})"
        call += "\nresult = " + ("pair.backward(saved, dy)" if part == "vjp" else "y")
        return imports, "{name} = engine.asarray(np.array({values}, dtype=np.{dtype}))", call
