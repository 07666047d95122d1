"""The array libraries under test: how a NumPy array becomes theirs, and back."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np


def _strict(a: np.ndarray) -> Any:
    import array_api_strict

    return array_api_strict.asarray(a)


def _torch(a: np.ndarray) -> Any:
    import torch

    return torch.asarray(np.array(a, order="C"))


LIBRARIES: dict[str, Callable[[np.ndarray], Any]] = {"numpy": np.asarray, "array_api_strict": _strict}
if importlib.util.find_spec("torch"):
    LIBRARIES["torch"] = _torch


def converted(arguments: tuple[Any, ...], convert: Callable[[np.ndarray], Any], dtype: str = "float64") -> list[Any]:
    """Floats in `dtype`, and integer arrays, in the library; other arguments as they are."""
    return [
        convert(a.astype(dtype) if a.dtype.kind == "f" else a) if isinstance(a, np.ndarray) else a for a in arguments
    ]


def outputs(result: Any) -> list[np.ndarray]:
    """One result or a tuple of them as NumPy arrays."""
    return [np.asarray(a) for a in (result if isinstance(result, tuple) else (result,))]
