"""PyTorch tensors, with gradients by torch.autograd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from leakysm.verify.adapters.arrays import Arrays, HostArray, WatchedSetting, Way, WrongResult, as_tuple
from leakysm.verify.adapters.numpy_arrays import FILLER, IS_KERNEL, PROGRAM, SCOPE, SHARED


def _set_mkldnn(enabled: bool) -> None:
    torch.backends.mkldnn.enabled = enabled


def _set_rng_state(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


@contextlib.contextmanager
def _while_set(read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> Iterator[None]:
    """A context with another value of a setting."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    """A context with another default dtype."""
    return _while_set(torch.get_default_dtype, torch.set_default_dtype, dtype)


def nan_in_unfilled_tensors() -> AbstractContextManager[None]:
    """A context in which torch.empty gives NaN. PyTorch fills memory only while it wants deterministic algorithms."""
    return _while_set(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True)


BETWEEN = f"torch.full_like({{0}}, {FILLER}) if {{0}}.is_floating_point() else {{0}}.flip(0)"  # labels, between labels


class TorchArrays(Arrays):
    """Tensors on the CPU. Torch has no negative strides; the layout `reversed` is a part of a larger tensor instead."""

    name = "torch"
    versions: Mapping[str, str] = {"torch": str(torch.__version__)}
    imports: Sequence[str] = ("import torch",)
    template = "{name} = torch.tensor({values}, dtype=torch.{dtype})"
    layouts: Mapping[str, str] = {
        "contiguous": "{0}",
        "inside": f"torch.nn.functional.pad({{0}}, (3, 2), value={FILLER})[..., 3:-2]",
        "offset": f"torch.nn.functional.pad({{0}}.reshape(-1), (3, 2), value={FILLER})[3:-2].view({{0}}.shape)",
        "strided": f"torch.stack([{{0}}, {BETWEEN}], -1)[..., 0]",
        "transposed": "{0}.movedim(-1, 0).contiguous().movedim(0, -1)",
        "channels-first": (
            f"({{0}}.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0) if {IS_KERNEL} else "
            "{0}.movedim(-1, int({0}.ndim > 2)).contiguous().movedim(int({0}.ndim > 2), -1))"
        ),
    }
    expanded = "{0}.expand({1})"
    bits = "{0}.detach().numpy().tobytes()"
    watched = (
        bits,
        "torch.empty(0, dtype=torch.uint8).set_({0}.untyped_storage()).numpy().tobytes()",
        "{0}.shape",
        "{0}.stride()",
        "{0}.requires_grad",
        "({0}.grad is not None and {0}.grad.numpy().tobytes())",
        "({0}.is_inference() or {0}._version)",
        "{0}.retains_grad",
        "({0}._backward_hooks is None)",
    )
    shares: str | None = "{0}.numel() and {0}.untyped_storage().data_ptr() == {1}.untyped_storage().data_ptr()"
    copied = "{0}.detach().clone()"
    other = "{0}.flip(tuple(range({0}.ndim))) / 2"
    overwritten = (
        "torch.no_grad()(lambda a: a.copy_(a.flip(tuple(range(a.ndim))) / 2))({0})",
        "(lambda a: (a.data.view(-1)[a.numel() // 2 + 1 : -1].fill_(-1.25), a)[1])({0})",  # changes no version
        "torch.no_grad()(lambda a: a.copy_(a.flip(tuple(range(a.ndim))).clone()))({0})",
    )
    watched_settings = (
        *PROGRAM,
        WatchedSetting("torch.get_default_dtype()", "torch", torch.set_default_dtype),
        WatchedSetting("torch.get_rng_state().numpy().tobytes()", "torch", _set_rng_state),
        WatchedSetting("torch.is_grad_enabled()", "torch", torch.set_grad_enabled),
        WatchedSetting("torch.are_deterministic_algorithms_enabled()", "torch", torch.use_deterministic_algorithms),
        WatchedSetting("torch.is_anomaly_enabled()", "torch", torch.autograd.set_detect_anomaly),
        WatchedSetting("torch.backends.mkldnn.enabled", "torch", _set_mkldnn),
        WatchedSetting("torch.get_num_threads()", "torch", torch.set_num_threads),
        WatchedSetting("torch.get_float32_matmul_precision()", "torch", torch.set_float32_matmul_precision),
        WatchedSetting(
            "((torch.tensor(1e-40) / 2).item() > 0)", "torch", lambda value: torch.set_flush_denormal(not value)
        ),
    )
    ways: Mapping[str, Way] = {
        "no-grad": Way(("value",), context=("torch.no_grad()", "import torch")),
        "inference": Way(
            ("value",),
            argument="torch.inference_mode()(lambda a: a.clone())({0})",
            context=("torch.inference_mode()", "import torch"),
        ),
        "default-dtype": Way(
            ("value",), context=("default_dtype(torch.float64)", f"from {__name__} import default_dtype")
        ),
        "unfilled": Way(
            ("value", "vjp"),
            context=("nan_in_unfilled_tensors()", f"from {__name__} import nan_in_unfilled_tensors"),
            refusable=True,
        ),
        "leaf": Way(
            ("value",),
            argument="(lambda a: (setattr(a, 'grad', torch.ones_like(a)), a)[1])({0}.requires_grad_())",
            autodiff=True,
        ),
        "intermediate": Way(("value", "vjp"), argument="{0}.requires_grad_().clone()", autodiff=True),
        "int32": Way(("value", "vjp"), labels="{0}.int()", refusable=True),
        "alone": Way(("vjp",), autodiff=True),
        "some": Way(("vjp",), autodiff=True),
        "overwritten": Way(("vjp",), autodiff=True, refusable=True),
        "argument-overwritten": Way(("vjp",), autodiff=True, refusable=True),
        "later": Way(("vjp",), autodiff=True),
        "shared": SHARED,
        "together": Way(("value", "vjp"), together="torch.cat([{1}, {0}]).split([len({1}), len({0})])[::-1]"),
    }
    scope: Mapping[str, Any] = {
        **SCOPE,
        "torch": torch,
        "default_dtype": default_dtype,
        "nan_in_unfilled_tensors": nan_in_unfilled_tensors,
    }

    def asarray(self, host: HostArray) -> Any:
        return torch.from_numpy(np.array(host))

    def to_host(self, array: Any) -> HostArray:
        if not isinstance(array, torch.Tensor):
            raise WrongResult(f"returned a {type(array).__name__}; a torch.Tensor is expected")
        return np.asarray(array.detach().resolve_conj().resolve_neg().numpy())

    def gradient(self, function: str, arrays: str, arguments: str, outputs: int, *, way: str = "") -> list[str] | None:
        first = "[0]" if outputs > 1 else ""
        leaves = f"    {arrays}, = (a.detach().requires_grad_() for a in ({arrays},))"
        first_call = f"    y = {function}({arguments}){first}"
        if way == "some":
            called = f"lambda {arrays}: {function}({arguments}){first}"
            return [
                f"    from {__name__} import TorchArrays",
                f"    return TorchArrays().differentiated_in_part({called}, ({arrays},), dy)",
            ]
        if way == "overwritten":
            return [leaves, first_call, "    y.neg_()", f"    return torch.autograd.grad(y, ({arrays},), -dy)"]
        if way == "argument-overwritten":
            copies = f"    {arrays}, = (a.detach().clone().requires_grad_() for a in ({arrays},))"
            write = [f"    {self.overwritten[0].format(name)}" for name in arrays.split(", ")]
            return [copies, first_call, *write, f"    return torch.autograd.grad(y, ({arrays},), dy)"]
        if way != "later":
            begin = [] if way == "intermediate" else [leaves]
            return [*begin, first_call, f"    return torch.autograd.grad(y, ({arrays},), dy)"]
        leaves = f"    {arrays}, = (torch.nn.Parameter(a.detach()) for a in ({arrays},))"
        others = self.other.format("a.detach()")
        return [
            leaves,
            first_call,
            f"    wanted = ({arrays},)",
            f"    {arrays}, = ({others} for a in wanted)",
            f"    {function}({arguments})",
            f"    torch.autograd.grad(y, wanted, {self.other.format('dy')}, retain_graph=True)",
            "    return torch.autograd.grad(y, wanted, dy, create_graph=True)",
        ]

    def differentiated(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        leaves = [a.detach().requires_grad_() for a in arrays]
        return _gradients(_first(function(*leaves)), leaves, dy)

    def differentiated_as_given(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        return _gradients(_first(function(*arrays)), arrays, dy)

    def differentiated_after_change(
        self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any
    ) -> tuple[Any, ...]:
        leaves = [a.detach().requires_grad_() for a in arrays]
        return _gradients(_first(function(*leaves)).neg_(), leaves, -dy)

    def differentiated_after_arguments_change(
        self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any
    ) -> tuple[Any, ...]:
        leaves = [a.detach().clone().requires_grad_() for a in arrays]
        y = _first(function(*leaves))
        for leaf in leaves:
            self.evaluated(self.overwritten[0], leaf)
        return _gradients(y, leaves, dy)

    def differentiated_later(self, function: Callable[..., Any], arrays: Sequence[Any], dy: Any) -> tuple[Any, ...]:
        leaves = [torch.nn.Parameter(a.detach()) for a in arrays]
        y = _first(function(*leaves))
        with contextlib.suppress(Exception):  # an error for other numbers is not an error of this case
            function(*[self.evaluated(self.other, a.detach()) for a in leaves])
        _gradients(y, leaves, self.evaluated(self.other, dy), retain_graph=True)
        with contextlib.suppress(RuntimeError):  # a backward pass need not be one that can be differentiated
            return _gradients(y, leaves, dy, retain_graph=True, create_graph=True)
        return _gradients(y, leaves, dy)


def _first(results: Any) -> Any:
    y = as_tuple(results)[0]
    if not isinstance(y, torch.Tensor):
        raise WrongResult(f"returned a {type(y).__name__}; a torch.Tensor is expected")
    return y


def _gradients(y: Any, leaves: Sequence[Any], dy: Any, **options: Any) -> tuple[Any, ...]:
    gradients = torch.autograd.grad(y, leaves, dy, allow_unused=True, **options)
    return tuple(torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True))
