"""What `import leakysm` offers: the public names, and how each is called. Not the types that are written beside."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import leakysm as lk
from tests.unchanged.looked import Looked


def look(_: Path) -> Looked:
    """Every name; of a class also its public members."""
    names = {name: _told(getattr(lk, name)) for name in sorted(lk.__all__)}
    return Looked({"leakysm": names, "leakysm.ops": sorted(lk.ops.__all__)})


def _told(thing: Any) -> Any:
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return [base.__name__ for base in thing.__mro__]
    if inspect.isclass(thing):
        members = {name: value for name, value in inspect.getmembers(thing) if not name.startswith("_")}
        called = (
            {"__call__": thing.__call__} if "__call__" in dir(thing) and thing.__call__ is not type.__call__ else {}
        )
        return {"()": _signature(thing), **{name: _member(value) for name, value in (members | called).items()}}
    return _signature(thing) if callable(thing) else type(thing).__name__


def _member(value: Any) -> str:
    return _signature(value) if callable(value) else type(value).__name__


def _signature(function: Any) -> str:
    """Names, order, kinds and defaults of the parameters."""
    parameters = inspect.signature(function).parameters.values()
    text = str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # the address of a default that is a function


ITEMS = {"names": look}
