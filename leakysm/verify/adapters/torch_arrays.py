"""PyTorch tensors, with gradients by torch.autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from leakysm.verify.adapters.implementation import HostArray, WrongResult, as_tuple


class TorchArrays:
    """Tensors on the CPU."""

    name = "torch"
    versions: Mapping[str, str] = {"torch": str(torch.__version__)}
    imports: Sequence[str] = ("import torch",)
    template = "{name} = torch.tensor({values}, dtype=torch.{dtype})"
    derivative: str | None = (
        "arrays = [a.requires_grad_() for a in ({arrays},)]\n"
        "y = FUNCTION({arguments})\n"
        "result = torch.autograd.grad(y[0] if isinstance(y, tuple) else y, arrays, dy)"
    )

    def asarray(self, host: HostArray) -> Any:
        return torch.from_numpy(np.array(host))  # a writable copy of its own: torch has no read-only arrays

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, torch.Tensor):
            raise WrongResult(f"returned a {type(array).__name__}; a torch.Tensor is expected")
        return np.asarray(array.detach().resolve_conj().resolve_neg().numpy())

    def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def vjp(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        leaves = [a.detach().requires_grad_() for a in arrays]
        y = as_tuple(function(*leaves))[0]
        if not isinstance(y, torch.Tensor):
            raise WrongResult(f"returned a {type(y).__name__}; a torch.Tensor is expected")
        gradients = torch.autograd.grad(y, leaves, dy, allow_unused=True)
        return tuple(torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True))
