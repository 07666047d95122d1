"""What a planted mistake is, and the tools to plant one in the right functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from .witness import Witness, argument_names, changed, right

PARTS = ("value", "vjp")


@dataclass(frozen=True, eq=False)
class Mutant:
    """Functions with one mistake, and a call that shows it. impure: the call shows a side effect, not a wrong number.

    small: a mistake of a few eps, which counts only where its witness is beyond the bound.
    """

    name: str
    operation: str
    functions: SimpleNamespace
    witness: Witness
    family: str
    small: bool = False
    impure: bool = False
    array: str = "numpy"


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without NumPy's warnings."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return inner


def as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def as_result(outputs: list[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def replaced(operation: str, part: str, function: Callable[..., Any]) -> SimpleNamespace:
    """The right functions but for one part: function(right, *arguments, **parameters)."""
    functions = right(operation)
    name = operation + ("_vjp" if part == "vjp" else "")
    original = getattr(functions, name)

    @quiet
    def mistaken(*args: Any, **parameters: Any) -> Any:
        return function(original, *args, **parameters)

    mistaken.__name__ = name
    setattr(functions, name, mistaken)
    return functions


def on_arguments(operation: str, part: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> SimpleNamespace:
    """Arguments (and "dy", and parameters), by name, changed before the right function gets them."""
    names = argument_names(operation) + (["dy"] if part == "vjp" else [])

    def function(original: Any, *args: Any, **parameters: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | parameters
        given = given | change(given)
        return original(*(given[n] for n in names[: len(args)]), **{key: given[key] for key in parameters})

    return replaced(operation, part, function)


def distance_of(given: dict[str, Any], kind: type) -> dict[str, Any] | None:
    """The parameters of a call's distance: its own, or those of its metric; None if that is of another kind."""
    metric = given.get("distance")
    return given if metric is None else metric.parameters if type(metric) is kind else None


def with_distance(given: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Changes of the parameters of a call's distance, as changes of what is given."""
    metric = given.get("distance")
    return changes if metric is None else {"distance": replace(metric, **changes)}


def on_outputs(
    operation: str, part: str, change: Callable[[list[Any], dict[str, Any]], Iterable[Any]]
) -> SimpleNamespace:
    """Outputs (a list) changed; change sees the arguments by name too."""
    names = argument_names(operation) + (["dy"] if part == "vjp" else [])

    def function(original: Any, *args: Any, **parameters: Any) -> Any:
        outputs = as_list(original(*args, **parameters))
        given = dict(zip(names, args, strict=False)) | parameters
        return as_result(
            [np.asarray(new, dtype=old.dtype) for new, old in zip(change(outputs, given), outputs, strict=True)]
        )

    return replaced(operation, part, function)


@functools.lru_cache(maxsize=256)
def right_outputs(witness: Witness) -> list[Any]:
    """What the right functions give on a witness."""
    return witness.outputs(right(witness.operation))


@quiet
def clearly(functions: SimpleNamespace, witness: Witness) -> bool:
    """A first look, by floats alone, whether a mistake shows. `exact` decides."""
    correct = right_outputs(witness)
    margin = 1e-3 if witness.dtype == "float32" else 1e-9
    for a, b in zip(witness.outputs(functions), correct, strict=True):
        if np.shape(a) != np.shape(b) or not np.isfinite(a).all():
            return True
        if np.size(b) and np.max(np.abs(np.asarray(a) - b)) > margin * (np.max(np.abs(b)) + 1e-30):
            return True
    return False


def planted(family: str, name: str, witness: Witness, functions: SimpleNamespace, **marks: Any) -> Iterator[Mutant]:
    """The mutant, of which `shown` tells whether its mistake shows."""
    yield Mutant(f"{witness.operation} {witness.part}: {name}", witness.operation, functions, witness, family, **marks)


@functools.cache
def shown(mutant: Mutant) -> Mutant | None:
    """The mutant if its mistake shows on the witness in the witness's dtype, or with that in float64; else None."""
    unseen = mutant.small or mutant.impure or mutant.array != "numpy"
    if unseen or clearly(mutant.functions, mutant.witness):
        return mutant
    if mutant.witness.dtype == "float32" and clearly(mutant.functions, doubled := in_float64(mutant.witness)):
        return replace(mutant, witness=doubled)
    return None


@functools.cache
def in_float64(witness: Witness) -> Witness:
    """The same call in float64."""
    arguments = tuple(a.astype(np.float64) if getattr(a, "dtype", None) == np.float32 else a for a in witness.arguments)
    return changed(witness, arguments=arguments, dy=np.asarray(witness.dy, dtype=np.float64), dtype="float64")
