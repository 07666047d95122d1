"""Present one of our engines, `forward -> (y, saved)` and `backward(saved, dy)`, as values and vjps."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from leakysm.ops.registry import OPERATIONS
from leakysm.verify.adapters.implementation import Implementation, Snippet
from leakysm.verify.adapters.numpy_arrays import EngineArrays


class Engine(Protocol):
    """What verification needs of an engine. It is handed one and imports none."""

    name: str
    xp: Any

    def operation(self, name: str, /) -> Any:
        """A pair: `forward(*arguments, **parameters)` gives y and saved, `backward(saved, dy)` the gradients."""
        ...

    def asarray(self, host: Any, /) -> Any:
        """A host array on the engine's device."""
        ...

    def to_host(self, array: Any, /) -> Any:
        """An engine's array as a NumPy array."""
        ...


class EngineImplementation(Implementation):
    """All registered operations of an engine, on its device."""

    def __init__(self, engine: Engine):
        self.engine, self.name = engine, engine.name
        self.arrays = EngineArrays(engine)
        self.versions: Mapping[str, str] = {
            "leakysm": importlib.metadata.version("leakysm"),
            engine.xp.__name__.partition(".")[0]: str(engine.xp.__version__),
        }

    def offers(self, operation: str, part: str) -> bool:
        return operation in OPERATIONS

    def function(
        self, operation: str, part: str, parameters: Mapping[str, Any], *, way: str = ""
    ) -> Callable[..., Any]:
        pair = self.engine.operation(operation)

        def value(*arguments: Any) -> Any:
            return pair.forward(*arguments, **parameters)[0]

        def vjp(*arguments: Any) -> Any:
            _, saved = pair.forward(*arguments[:-1], **parameters)
            return pair.backward(saved, arguments[-1])

        return vjp if part == "vjp" else value

    def snippet(
        self, operation: str, part: str, parameters: Mapping[str, Any], dtype: str, *, way: str = ""
    ) -> Snippet:
        imports = ["import numpy as np", "import leakysm as lk", f'pair = engine.operation("{operation}")']
        load, keywords = f'engine = lk.backend("{self.name}")', written(parameters)
        names = ", ".join(a.name for a in OPERATIONS[operation].arguments)
        call = f"pair.forward({names}{', ' + keywords if keywords else ''})"
        lines = [f"def value({names}):", f"    return {call}[0]"]
        if part == "vjp":
            lines = [f"def gradient({names}, dy):", f"    _, saved = {call}", "    return pair.backward(saved, dy)"]
        definitions = [imports.pop(), *lines]
        return Snippet(imports, load, "engine", self.engine, definitions, "gradient" if part == "vjp" else "value")


def written(keywords: Mapping[str, Any]) -> str:
    """Keyword arguments as code."""
    return ", ".join(f"{name}={_literal(value)}" for name, value in keywords.items())


def _literal(value: Any) -> str:
    return f'float("{value}")' if isinstance(value, float) and value - value != 0 else repr(value)
