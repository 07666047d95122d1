"""A user's own formula or metric where it is called: what it raises, or returns in another form, becomes one line."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from array_api_compat import is_array_api_obj

from leakysm.errors import UserError, described
from leakysm.files import printable
from leakysm.ops.arrays import Array, dtype_name


class OwnCodeError(UserError):
    """A user's own class raised an error, the cause of this one, or returned something else than it should."""


class Form(NamedTuple):
    """What a result is called, its shape, and the array whose dtype it has."""

    name: str
    shape: tuple[int, ...]
    like: Array


Forms = Callable[..., Sequence[Form]]  # of the results, from the arguments that are arrays


def any_results(*_: Array) -> Sequence[Form]:
    """The forms of a method whose results are checked elsewhere."""
    return ()


def defined_elsewhere(kind: type) -> bool:
    """Whether a class is defined outside this package."""
    return not kind.__module__.startswith("leakysm.")


def guard(kind: type, methods: dict[str, Forms]) -> None:
    """Let the methods that a user's own class defines raise OwnCodeError alone. A class of this package stays as it is.

    methods: for each name, the forms of the results. OwnCodeError if a result has another one.
    """
    for name, forms in methods.items():
        method = kind.__dict__.get(name)
        if defined_elsewhere(kind) and inspect.isfunction(method):
            setattr(kind, name, _guarded(method, forms))


def _guarded(method: Callable[..., Any], forms: Forms) -> Callable[..., Any]:
    file, name = method.__code__.co_filename, method.__name__
    count = len(inspect.signature(forms).parameters)

    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            found = method(self, *arguments, **keywords)
        except (OwnCodeError, MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:
            frames = traceback.walk_tb(error.__traceback__)
            lines = [line for frame, line in frames if frame.f_code.co_filename == file]
            where = f", in line {lines[-1]}," if lines else ""
            raise OwnCodeError(f"{_place(self, file)}: {name} raises{where} {described(error)}; correct it") from error
        arrays = [argument for argument in arguments if is_array_api_obj(argument)]
        if forms is not any_results and len(arrays) == count:
            _require(f"{_place(self, file)}: {name}", found, forms(*arrays))
        return found

    return call


def _place(instance: Any, file: str) -> str:
    return f"{printable(file)}:{type(instance).__name__}"


def _require(what: str, found: Any, forms: Sequence[Form]) -> None:
    """OwnCodeError unless what was returned has these forms; several are a tuple."""
    if len(forms) > 1 and not (isinstance(found, tuple | list) and len(found) == len(forms)):
        names = " and ".join(form.name for form in forms)
        kind = f"{len(found)} results" if isinstance(found, tuple | list) else _kind(found)
        raise OwnCodeError(f"{what} returns {kind}; {names} are expected: return both")
    for form, array in zip(forms, found if len(forms) > 1 else [found], strict=True):
        name = f"{form.name} as " if len(forms) > 1 else ""
        if not is_array_api_obj(array):
            raise OwnCodeError(f"{what} returns {name}{_kind(array)}; an array of shape {form.shape} is expected")
        if tuple(array.shape) != form.shape:
            raise OwnCodeError(
                f"{what} returns {name}an array of shape {tuple(array.shape)}; shape {form.shape} is expected"
            )
        wanted = dtype_name(form.like)
        if wanted.startswith("float") and dtype_name(array) != wanted:
            raise OwnCodeError(f"{what} returns {name}{dtype_name(array)} for {wanted}; keep the dtype")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
