"""What a checked implementation looks like from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

HostArray = np.ndarray[Any, Any]


class NotOffered(Exception):  # noqa: N818 (an outcome, not an error)
    """The implementation has no such operation, or not with these parameters. An outcome of its own, not a failure."""


class WrongResult(Exception):  # noqa: N818 (the message is the finding)
    """The implementation returned something that is not what the operation returns."""


class Implementation(Protocol):
    """Operations by their public names, host arrays in and out.

    value and vjp may raise NotOffered, WrongResult, or whatever the implementation raises.
    """

    name: str
    versions: Mapping[str, str]

    def offers(self, operation: str, part: str) -> bool:
        """Whether the "value" or the "vjp" of an operation can be had."""

    def value(self, operation: str, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> tuple[HostArray, ...]:
        """The outputs."""

    def vjp(
        self, operation: str, arguments: Sequence[Any], dy: HostArray, parameters: Mapping[str, Any]
    ) -> tuple[HostArray, ...]:
        """One gradient for each differentiable argument."""

    def keywords(self, operation: str, part: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of the parameters that the implementation's function takes."""

    def snippet(self, operation: str, part: str) -> tuple[list[str], str, str]:
        """For a counterexample: imports, a template making `{name}` of `{values}` and `{dtype}`, and the call."""


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One result as a tuple of one; lists too are taken."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)
