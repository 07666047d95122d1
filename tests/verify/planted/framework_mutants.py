"""Planted mistakes of functions on torch tensors and JAX arrays: no `_vjp`, the library's autodiff is what is judged."""

# ruff: noqa: E501 (tables: a line an entry)

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from leakysm import ops

from .mutant import PARTS, Mutant
from .witness import AXES, OPERATIONS, Witness, argument_names, changed, right, witness

Function = Callable[..., Any]


def _arrays_of(operation: str) -> list[int]:
    """The positions of the differentiable arguments."""
    names = argument_names(operation)
    return [names.index(name) for name in AXES[operation].arguments]


def _filled(args: tuple[Any, ...], positions: list[int], arrays: Any) -> list[Any]:
    full = list(args)
    for position, array in zip(positions, arrays, strict=True):
        full[position] = array
    return full


def _tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def _one(outputs: tuple[Any, ...]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


# How a witness is run.


def _tensor(array: Any) -> Any:
    """A tensor of the same numbers and, where it repeats or skips, the same layout."""
    if not isinstance(array, np.ndarray):
        return array
    if array.ndim and 0 in array.strides and array.size > 1:
        return torch.tensor(array.flat[0]).expand(array.shape)
    if array.ndim > 1 and not array.flags.c_contiguous:
        return torch.tensor(np.ascontiguousarray(array.T)).permute(*range(array.ndim - 1, -1, -1))
    return torch.tensor(array)


def torch_outputs(mutant: Mutant) -> list[Any]:
    """What autograd, or the function itself, gives on the witness."""
    w = mutant.witness
    arguments = [_tensor(a) for a in w.arguments]
    arrays = [arguments[i] for i in _arrays_of(w.operation)]
    function = getattr(mutant.functions, w.operation)
    if w.part == "value":
        return [o.detach().numpy() for o in _tuple(function(*arguments, **w.parameters))]
    for array in arrays:
        array.requires_grad_()
    y = _tuple(function(*arguments, **w.parameters))[0]
    if not y.requires_grad:
        return [np.zeros(a.shape) for a in arrays]
    grads = torch.autograd.grad(y, arrays, _tensor(w.dy), allow_unused=True)
    return [np.zeros(a.shape) if g is None else g.numpy() for g, a in zip(grads, arrays, strict=True)]


def jax_outputs(mutant: Mutant) -> list[Any]:
    """What JAX's vjp, or the function itself, gives on the witness."""
    w = mutant.witness
    with jax.enable_x64(True):
        arguments = tuple(jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in w.arguments)
        positions = _arrays_of(w.operation)
        function = getattr(mutant.functions, w.operation)
        if w.part == "value":
            return [np.asarray(o) for o in _tuple(function(*arguments, **w.parameters))]

        def first(*arrays: Any) -> Any:
            return _tuple(function(*_filled(arguments, positions, arrays), **w.parameters))[0]

        _, back = jax.vjp(first, *(arguments[i] for i in positions))
        return [np.asarray(g) for g in back(jnp.asarray(w.dy))]


def framework_outputs(mutant: Mutant) -> list[Any]:
    return torch_outputs(mutant) if mutant.array == "torch" else jax_outputs(mutant)


def is_impure_in_torch(mutant: Mutant) -> bool:
    """Whether a call, or autograd's way back, changes a tensor that it is given, or gives one back."""
    w = mutant.witness
    arguments, dy = [_tensor(a) for a in w.arguments], _tensor(w.dy)
    given = [a for a in (*arguments, dy) if isinstance(a, torch.Tensor)]
    before = [a.clone() for a in given]
    arrays = [arguments[i].requires_grad_(w.part == "vjp") for i in _arrays_of(w.operation)]
    outputs = _tuple(getattr(mutant.functions, w.operation)(*arguments, **w.parameters))
    if w.part == "vjp":
        outputs = torch.autograd.grad(outputs[0], arrays, dy, allow_unused=True)
    pointers = {a.untyped_storage().data_ptr() for a in given}
    shares = any(o is not None and o.untyped_storage().data_ptr() in pointers for o in outputs)
    return shares or any(not torch.equal(a, b) for a, b in zip(given, before, strict=True))


def _shown(family: str, name: str, call: Witness, function: Function, array: str, **marks: Any) -> Iterator[Mutant]:
    functions = SimpleNamespace(**{call.operation: function})
    mutant = Mutant(f"{array} {call.operation} {call.part}: {name}", call.operation, functions, call, f"{array}: {family}", array=array, **marks)  # fmt: skip
    if marks.get("impure"):
        if is_impure_in_torch(mutant):
            yield mutant
        return
    correct = call.outputs(right(call.operation))
    for a, b in zip(framework_outputs(mutant), correct, strict=True):
        if np.shape(a) != np.shape(b) or not np.isfinite(a).all():
            yield mutant
            return
        if np.size(b) and np.max(np.abs(a - b)) > (1e-3 if call.dtype == "float32" else 1e-9) * np.max(np.abs(b)):
            yield mutant
            return


# Mistakes in what goes in.


def _on_array(operation: str, index: int, change: Function) -> Function:
    """The right value of a changed argument; autodiff runs through the change."""
    value = getattr(ops, operation)

    def function(*args: Any, **parameters: Any) -> Any:
        args = list(args)
        args[index] = change(args[index])
        return value(*args, **parameters)

    return function


def _straight_through(x: Any, dtype: Any) -> Any:
    return x + (x.detach().to(dtype).to(x.dtype) - x.detach())


def _repeated(x: Any) -> bool:
    return any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True))


def _tail_detached(x: Any, s: int) -> Any:
    return torch.cat([x[..., :s], x[..., s:].detach()], dim=-1) if x.ndim and x.shape[-1] > s else x


TORCH_INPUTS: dict[str, tuple[str, Function]] = {
    "detached": ("detached", lambda x: x.detach()),
    "half detached": ("detached", lambda x: (x + x.detach()) / 2),
    "last axis beyond 4 detached": ("detached", lambda x: _tail_detached(x, 4)),
    "in bfloat16": ("bits", lambda x: x.to(torch.bfloat16).to(x.dtype)),
    "in float16": ("bits", lambda x: x.to(torch.float16).to(x.dtype)),
    "in float32": ("bits", lambda x: x.to(torch.float32).to(x.dtype)),
    "in float32, straight through": ("bits", lambda x: _straight_through(x, torch.float32)),
    "gradient clipped to 0.1": ("hooks", lambda x: _hooked(x, lambda g: g.clamp(-0.1, 0.1))),
    "gradient halved": ("hooks", lambda x: _hooked(x, lambda g: g / 2)),
    "gradient in float32": ("hooks", lambda x: _hooked(x, lambda g: g.to(torch.float32).to(g.dtype))),
    "wrong where no gradient is wanted": ("without gradient", lambda x: x if x.requires_grad else x * 1.01),
    "wrong under no_grad": ("without gradient", lambda x: x if torch.is_grad_enabled() and x.requires_grad else x + 0.01),
    "misread where permuted": ("layout", lambda x: x if x.is_contiguous() else x.permute(*range(x.ndim - 1, -1, -1)).contiguous().reshape(x.shape)),
    "wrong where expanded": ("layout", lambda x: x * 1.01 if _repeated(x) else x),
    "wrong where an offset into a storage": ("layout", lambda x: x * 1.01 if x.storage_offset() else x),
}  # fmt: skip


class _Hook(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, change: Function) -> Any:
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return ctx.change(grad), None


def _hooked(x: Any, change: Function) -> Any:
    return _Hook.apply(x, change)


def _permuted(call: Witness, index: int, kind: str) -> Witness:
    arguments = list(call.arguments)
    array = arguments[index]
    if array.ndim > 1:
        arguments[index] = np.asfortranarray(array)
        if kind == "expanded":
            arguments[index] = np.broadcast_to(array.flat[0], array.shape)
    return changed(call, arguments=tuple(arguments))


def torch_inputs() -> Iterator[Mutant]:
    for operation in OPERATIONS:
        for index in _arrays_of(operation):
            name = argument_names(operation)[index]
            for title, (family, change) in TORCH_INPUTS.items():
                for part in PARTS:
                    call = witness(operation, part)
                    if family == "layout":
                        call = _permuted(call, index, "expanded" if "expanded" in title else "permuted")
                    if found := list(
                        _shown(family, f"{name} {title}", call, _on_array(operation, index, change), "torch")
                    ):
                        yield from found
                        break


# Functions with a backward of their own.


def custom_torch(operation: str, backward: Function, forward: Function | None = None) -> Function:
    """The operation as a torch.autograd.Function: backward(ctx, grads, dy, saved) changes the right gradients."""
    value, vjp, positions = getattr(ops, operation), getattr(ops, operation + "_vjp"), _arrays_of(operation)

    def function(*args: Any, **parameters: Any) -> Any:
        class Custom(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *arrays: Any) -> Any:
                ctx.save_for_backward(*arrays)
                with torch.no_grad():
                    outputs = _tuple(value(*_filled(args, positions, arrays), **parameters))
                    return _one(forward(ctx, outputs, arrays) if forward else outputs)

            @staticmethod
            def backward(ctx: Any, dy: Any, *_: Any) -> Any:
                with torch.no_grad():
                    saved = ctx.saved_tensors
                    grads = list(_tuple(vjp(*_filled(args, positions, saved), dy, **parameters)))
                    return tuple(backward(ctx, grads, dy, saved))

        return Custom.apply(*(args[i] for i in positions))

    return function


def _changed_in_place(tensor: Any) -> None:
    """Its first element, past autograd's version counter."""
    if tensor.numel():
        flat = tensor.detach().numpy()
        if flat.flags.writeable:
            flat[(0,) * flat.ndim] += 1


def _spoiling(which: int) -> Function:
    def backward(ctx: Any, grads: Any, dy: Any, saved: Any) -> Any:
        _changed_in_place(saved[which])
        return grads

    return backward


def _spoiling_dy(ctx: Any, grads: Any, dy: Any, saved: Any) -> Any:
    if not _repeated(dy):
        _changed_in_place(dy)
    return grads


BACKWARDS: dict[str, tuple[str, Function]] = {
    "first gradient negated": ("backward", lambda ctx, g, dy, s: [-g[0], *g[1:]]),
    "last gradient doubled": ("backward", lambda ctx, g, dy, s: [*g[:-1], g[-1] * 2]),
    "no first gradient": ("backward", lambda ctx, g, dy, s: [None, *g[1:]]),
    "no last gradient": ("backward", lambda ctx, g, dy, s: [*g[:-1], None]),
    "gradients in float32": ("backward", lambda ctx, g, dy, s: [a.to(torch.float32).to(a.dtype) for a in g]),
    "first gradient for all of its shape": ("backward", lambda ctx, g, dy, s: [g[0] if a.shape == g[0].shape else a for a in g]),
    "wrong where dy is expanded": ("layout of dy", lambda ctx, g, dy, s: [a * 2 for a in g] if _repeated(dy) else g),
    "dy misread where permuted": ("layout of dy", lambda ctx, g, dy, s: g if dy.is_contiguous() else [a * 1.01 for a in g]),
    "wrong unless all gradients are wanted": ("backward", lambda ctx, g, dy, s: g if all(ctx.needs_input_grad) else [a * 0 for a in g]),
    "right only where dy is 1": ("backward", lambda ctx, g, dy, s: g if (dy == 1).all() else [a * 1.01 for a in g]),
}  # fmt: skip


def torch_backwards() -> Iterator[Mutant]:
    for operation in OPERATIONS:
        square = witness(operation, "vjp", N=5, M=5, D=5)
        for title, (family, backward) in BACKWARDS.items():
            call = square
            if "expanded" in title and call.dy.ndim:
                call = changed(call, dy=np.broadcast_to(call.dy.flat[0], call.dy.shape))
            if "permuted" in title and call.dy.ndim > 1:
                call = changed(call, dy=np.asfortranarray(call.dy))
            yield from _shown(family, title, call, custom_torch(operation, backward), "torch")
        for which, index in enumerate(_arrays_of(operation)):
            name = argument_names(operation)[index]
            function = custom_torch(operation, _spoiling(which))
            yield from _shown("purity", f"{name} changed on the way back", square, function, "torch", impure=True)

            def writing(*args: Any, index: int = index, operation: str = operation, **parameters: Any) -> Any:
                result = getattr(ops, operation)(*args, **parameters)
                _changed_in_place(args[index])
                return result

            call = witness(operation, "value")
            yield from _shown("purity", f"{name} changed in place", call, writing, "torch", impure=True)
        function = custom_torch(operation, _spoiling_dy)
        yield from _shown("purity", "dy changed in place", square, function, "torch", impure=True)
    call = witness("relu", "vjp")
    call = changed(call, arguments=(np.abs(call.arguments[0]),))
    passing = lambda x: x if (x > 0).all() else ops.relu(x)  # noqa: E731
    yield from _shown(
        "purity", "x itself where all are positive", changed(call, part="value"), passing, "torch", impure=True
    )


# JAX.


JAX_INPUTS: dict[str, tuple[str, Function]] = {
    "stopped": ("stopped", jax.lax.stop_gradient),
    "half stopped": ("stopped", lambda x: (x + jax.lax.stop_gradient(x)) / 2),
    "in bfloat16": ("bits", lambda x: x.astype(jnp.bfloat16).astype(x.dtype)),
    "in float32": ("bits", lambda x: x.astype(jnp.float32).astype(x.dtype)),
    "in float16": ("bits", lambda x: x.astype(jnp.float16).astype(x.dtype)),
}


def custom_jax(operation: str, backward: Function) -> Function:
    """The operation with a custom_vjp whose gradients are changed."""
    value, vjp, positions = getattr(ops, operation), getattr(ops, operation + "_vjp"), _arrays_of(operation)

    def function(*args: Any, **parameters: Any) -> Any:
        @jax.custom_vjp
        def inner(*arrays: Any) -> Any:
            return value(*_filled(args, positions, arrays), **parameters)

        def forth(*arrays: Any) -> Any:
            return inner(*arrays), arrays

        def back(saved: Any, dy: Any) -> Any:
            grads = _tuple(vjp(*_filled(args, positions, saved), _tuple(dy)[0], **parameters))
            return tuple(backward(list(grads)))

        inner.defvjp(forth, back)
        return inner(*(args[i] for i in positions))

    return function


JAX_BACKWARDS: dict[str, Function] = {
    "first gradient negated": lambda g: [-g[0], *g[1:]],
    "last gradient doubled": lambda g: [*g[:-1], g[-1] * 2],
    "gradients in float32": lambda g: [a.astype(jnp.float32).astype(a.dtype) for a in g],
    "last gradient zero": lambda g: [*g[:-1], g[-1] * 0],
}


def jax_mutants() -> Iterator[Mutant]:
    """Dealt out in turn, since JAX is slow to start; each shows, which the test of the witnesses holds."""
    inputs, backwards = itertools.cycle(JAX_INPUTS.items()), itertools.cycle(JAX_BACKWARDS.items())
    for operation in OPERATIONS:
        made: list[tuple[str, str, str, Function]] = []
        for index in _arrays_of(operation):
            title, (family, change) = next(inputs)
            name = argument_names(operation)[index]
            made.append(
                (
                    family,
                    "vjp" if family == "stopped" else "value",
                    f"{name} {title}",
                    _on_array(operation, index, change),
                )
            )
        for title, backward in itertools.islice(backwards, 2):
            made.append(("custom_vjp", "vjp", title, custom_jax(operation, backward)))
        for family, part, title, function in made:
            functions = SimpleNamespace(**{operation: function})
            call = witness(operation, part, N=5, M=5, D=5)
            yield Mutant(f"jax {operation} {part}: {title}", operation, functions, call, f"jax: {family}", array="jax")


@cache
def framework_mutants() -> tuple[Mutant, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (*torch_inputs(), *torch_backwards(), *jax_mutants())
