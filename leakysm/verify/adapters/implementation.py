"""The interface of an implementation that is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.adapters.arrays import Arrays, HostArray


class NotOffered(Exception):  # noqa: N818 (an outcome, not an error)
    """The implementation has no such operation, or not with these parameters. This is not a failure."""


@dataclass(frozen=True)
class Snippet:
    """A call as code. `load`: the line that defines `owner`, the value `offered`. `definitions`: what `function` needs.

    The function takes the arguments by position (a gradient's dy last) and `keywords`.
    """

    imports: Sequence[str]
    load: str
    owner: str
    offered: Any
    definitions: Sequence[str]
    function: str
    keywords: str = ""

    def call(self, arguments: Sequence[str]) -> str:
        """An expression that calls the function with these arguments."""
        return f"{self.function}({', '.join(filter(None, (*arguments, self.keywords)))})"


class Implementation:
    """Operations by their public names, on arrays of one kind.

    Whatever the implementation raises passes through; NotOffered and WrongResult are ours.
    """

    name: str
    versions: Mapping[str, str]
    arrays: Arrays

    def offers(self, operation: str, part: str) -> bool:
        """Whether the implementation has the "value" or the "vjp" of an operation."""
        raise NotImplementedError

    def misfit(self, operation: str) -> str | None:
        """Why a function that is offered cannot be called like the operation, and how to mend it; None if it can."""
        return None

    def notes(self, operation: str) -> list[str]:
        """The checks of an operation that are left out, because its function lacks a parameter."""
        return []

    def differentiates(self, operation: str) -> bool:
        """Whether the gradient is a framework's autodiff and not the implementation's own."""
        return False

    def function(
        self, operation: str, part: str, parameters: Mapping[str, Any], *, way: str = ""
    ) -> Callable[..., Any]:
        """A function of the arguments (a gradient's dy last) with these parameters; it returns the raw results.

        way: how the library differentiates, if it does: "alone" by one argument at a time, the others as the arrays
        say.
        """
        raise NotImplementedError

    def both(self, operation: str, parameters: Mapping[str, Any]) -> Callable[..., Any] | None:
        """A function that gives outputs and gradients together and compiles once; None if there is no such function."""
        return None

    def snippet(
        self, operation: str, part: str, parameters: Mapping[str, Any], dtype: str, *, way: str = ""
    ) -> Snippet:
        """A call with these parameters as code."""
        raise NotImplementedError

    def value(self, operation: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[HostArray, ...]:
        """The outputs, host arrays in and out."""
        return self._on_host(operation, "value", arguments, parameters)

    def vjp(
        self, operation: str, arguments: Sequence[Any], dy: HostArray, parameters: Mapping[str, Any]
    ) -> tuple[HostArray, ...]:
        """One gradient for each differentiable argument, host arrays in and out."""
        return self._on_host(operation, "vjp", (*arguments, dy), parameters)

    def _on_host(
        self, operation: str, part: str, arguments: Sequence[Any], parameters: Mapping[str, Any]
    ) -> tuple[HostArray, ...]:
        floats = [a.dtype.name for a in arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
        with self.arrays.mode(floats[0] if floats else "float64"):
            given = [self.arrays.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
            return self.arrays.hosted(self.function(operation, part, parameters)(*given))
