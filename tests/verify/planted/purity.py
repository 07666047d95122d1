"""Side effects: arguments changed, results that share memory, answers that depend on more than the arguments."""

# ruff: noqa: E501 (tables: a line an entry)

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .mutant import PARTS, Mutant, as_list, as_result, planted, replaced
from .witness import AXES, OPERATIONS, Witness, argument_names, changed, right, witness


def _call(function: Callable[..., Any], witness: Witness) -> Any:
    tail = (witness.dy,) if witness.part == "vjp" else ()
    return function(*witness.arguments, *tail, **witness.parameters)


def is_impure(functions: SimpleNamespace, call: Witness) -> bool:
    """Whether three calls change what they are given, share memory, disagree, or leave global state changed."""
    function = getattr(functions, call.operation + ("_vjp" if call.part == "vjp" else ""))
    given = [a for a in (*call.arguments, call.dy) if isinstance(a, np.ndarray)]
    before, errors, state = [a.tobytes() for a in given], np.geterr(), repr(np.random.get_state())
    answers, raw = [], []
    for _ in range(3):
        try:
            outputs = as_list(_call(function, call))
        except ValueError:  # a read-only argument was written to
            return True
        raw += outputs
        answers.append([np.array(o).tobytes() for o in outputs])
        if any(np.may_share_memory(o, a) for o in outputs for a in given):
            return True
    shared = any(np.shares_memory(a, b) for i, a in enumerate(raw) for b in raw[:i])
    global_state = errors != np.geterr() or state != repr(np.random.get_state())
    np.seterr(**errors)
    return shared or global_state or before != [a.tobytes() for a in given] or any(a != answers[0] for a in answers)


LAYOUTS: dict[str, Callable[[Any], bool]] = {
    "": lambda a: True,
    "where C-contiguous": lambda a: a.flags.c_contiguous,
    "where not C-contiguous": lambda a: not a.flags.c_contiguous,
    "where large": lambda a: a.size > 50,
    "where float64": lambda a: a.dtype == np.float64,
    "where float32": lambda a: a.dtype == np.float32,
}


def _laid_out(call: Witness, layout: str) -> Witness:
    """A call to which the layout's condition applies."""

    def arranged(array: Any) -> Any:
        if not isinstance(array, np.ndarray) or "not C" not in layout:
            return np.array(array) if isinstance(array, np.ndarray) else array
        spread = np.zeros(tuple(2 * n for n in array.shape), dtype=array.dtype)
        spread[tuple(slice(None, None, 2) for _ in array.shape)] = array
        return spread[tuple(slice(None, None, 2) for _ in array.shape)]

    return changed(call, arguments=tuple(map(arranged, call.arguments)), dy=arranged(call.dy))


WRITES: dict[str, Callable[[Any], Any]] = {
    "one element": lambda a: a.__setitem__((-1,) * a.ndim, a[(-1,) * a.ndim] + 1),
    "the first element": lambda a: a.__setitem__((0,) * a.ndim, 0),
    "everything": lambda a: a.__imul__(a.dtype.type(2)),
    "one rounding": lambda a: a.__setitem__((0,) * a.ndim, np.nextafter(a[(0,) * a.ndim], np.inf, dtype=a.dtype)),
    "the sign of a zero": lambda a: a.__setitem__(a == 0, -0.0),
}


def in_place() -> Iterator[Mutant]:
    """Each argument, labels too, and the cotangent; where it can be written to."""
    for operation in OPERATIONS:
        for part in PARTS:
            names = argument_names(operation) + (["dy"] if part == "vjp" else [])
            for i, name in enumerate(names):
                for turn, (layout, holds) in enumerate(LAYOUTS.items()):
                    what, write = list(WRITES.items())[turn % 4]
                    if name == "n_classes" or (name.endswith("labels") and what != "the first element" and turn):
                        continue
                    if name.endswith("labels"):
                        what, write = "the first element", _next_label
                    call = witness(
                        operation, part, "float32" if layout == "where float32" else "float64", **_large(layout)
                    )
                    call = _laid_out(call, layout)
                    victim = (*call.arguments, call.dy)[i] if name != "dy" else call.dy
                    if not holds(victim) or ("C" in layout and victim.ndim == 0):
                        continue

                    def function(
                        original: Any, *args: Any, i: int = i, write: Any = write, holds: Any = holds, **parameters: Any
                    ) -> Any:
                        result = original(*args, **parameters)
                        if (
                            i < len(args)
                            and isinstance(args[i], np.ndarray)
                            and args[i].size
                            and args[i].flags.writeable
                            and holds(args[i])
                        ):
                            write(args[i])
                        return result

                    functions = replaced(operation, part, function)
                    title = f"{name}: {what} changed {layout}".strip()
                    yield from planted(f"purity: argument {layout}".strip(), title, call, functions, impure=True)


def _next_label(labels: Any) -> None:
    labels[0] = (labels[0] + 1) % (labels.max() + 1)


def _large(layout: str) -> dict[str, int]:
    return {"n": 60, "N": 14, "D": 14, "S": 20, "Q": 20, "C": 8, "F": 8, "M": 8} if "large" in layout else {}


def views() -> Iterator[Mutant]:
    """Results that are an argument, the cotangent, or one buffer for all calls; in value right."""
    for operation in OPERATIONS:
        for part in PARTS:
            call = _laid_out(witness(operation, part, "float64"), "")
            results = list(AXES[operation].outputs if part == "value" else AXES[operation].gradients)
            names = argument_names(operation) + (["dy"] if part == "vjp" else [])
            for k, result in enumerate(results):
                for i, name in enumerate(names):
                    victim = (*call.arguments, call.dy)[i] if name != "dy" else call.dy
                    if not isinstance(victim, np.ndarray) or victim.dtype.kind != "f":
                        continue

                    def alias(original: Any, *args: Any, i: int = i, k: int = k, **parameters: Any) -> Any:
                        outputs = [np.asarray(o) for o in as_list(original(*args, **parameters))]
                        target = args[i]
                        if (
                            not isinstance(target, np.ndarray)
                            or not target.flags.writeable
                            or target.dtype != outputs[k].dtype
                        ):
                            return as_result(outputs)
                        if target.shape == outputs[k].shape:
                            target[...] = outputs[k]
                            outputs[k] = target
                        return as_result(outputs)

                    if victim.shape == _shape(call, k):
                        functions = replaced(operation, part, alias)
                        yield from planted(
                            "purity: result in an argument",
                            f"{result} written into {name}",
                            call,
                            functions,
                            impure=True,
                        )

                def buffered(original: Any, *args: Any, k: int = k, kept: dict = {}, **parameters: Any) -> Any:  # noqa: B006
                    outputs = [np.asarray(o) for o in as_list(original(*args, **parameters))]
                    key = (id(original), k, outputs[k].shape, outputs[k].dtype)
                    buffer = kept.setdefault(key, np.empty_like(outputs[k]))
                    buffer[...] = outputs[k]
                    outputs[k] = buffer
                    return as_result(outputs)

                yield from planted(
                    "purity: one buffer",
                    f"{result} in one buffer for all calls",
                    call,
                    replaced(operation, part, buffered),
                    impure=True,
                )
    for part, index in (("value", 0), ("vjp", 1)):

        def passed(original: Any, *args: Any, i: int = index, **parameters: Any) -> Any:
            return args[i] if args[0].size and (args[0] > 0).all() else original(*args, **parameters)

        call = witness("relu", part)
        call = changed(call, arguments=(np.abs(call.arguments[0]),))
        yield from planted(
            "purity: views", "all positive: the very array", call, replaced("relu", part, passed), impure=True
        )

        def viewed(original: Any, *args: Any, i: int = index, **parameters: Any) -> Any:
            return args[i][...] if args[0].size and (args[0] > 0).all() else original(*args, **parameters)

        yield from planted("purity: views", "all positive: a view", call, replaced("relu", part, viewed), impure=True)
    call = witness("prototypes", "vjp", S=4, M=4)

    def permuted(original: Any, z: Any, labels: Any, n: int, dy: Any) -> Any:
        return dy[:] if n == len(z) and (np.asarray(labels) == np.arange(n)).all() else original(z, labels, n, dy)

    call = changed(call, arguments=(call.arguments[0][:4], np.arange(4), 4))
    yield from planted(
        "purity: views",
        "one shot each, in order: dy itself",
        call,
        replaced("prototypes", "vjp", permuted),
        impure=True,
    )

    def single(original: Any, z: Any, labels: Any, n: int) -> Any:
        return z[:] if n == len(z) and (np.asarray(labels) == np.arange(n)).all() else original(z, labels, n)

    call = changed(call, part="value")
    yield from planted(
        "purity: views", "one shot each, in order: z itself", call, replaced("prototypes", "value", single), impure=True
    )
    call = witness("max_pool2d", "value")

    def constant(original: Any, x: Any) -> Any:
        y = original(x)
        return (
            x[:, : y.shape[1] * 2 : 2, : y.shape[2] * 2 : 2]
            if y.size and (y == x[:, : y.shape[1] * 2 : 2, : y.shape[2] * 2 : 2]).all()
            else y
        )

    call = changed(call, arguments=(np.ones_like(call.arguments[0]),))
    yield from planted(
        "purity: views",
        "the first corner wins: a strided view",
        call,
        replaced("max_pool2d", "value", constant),
        impure=True,
    )


def _shape(call: Witness, k: int) -> tuple[int, ...]:
    return tuple(np.shape(call.outputs(right(call.operation))[k]))


def memories() -> Iterator[Mutant]:
    """Another answer on another call; global state changed."""
    for operation in OPERATIONS:
        for part in PARTS:
            call = witness(operation, part)

            def on_some(
                original: Any, *args: Any, every: int, start: int, scale: float, count: list[int], **parameters: Any
            ) -> Any:
                count[0] += 1
                outputs = as_list(original(*args, **parameters))
                if count[0] >= start and count[0] % every == 0:
                    outputs[0] = np.asarray(outputs[0] * outputs[0].dtype.type(1 + scale), dtype=outputs[0].dtype)
                return as_result(outputs)

            for title, (every, start, scale) in {
                "on every second call": (2, 0, 1e-3),
                "on every third call": (3, 0, 1e-3),
                "from the second call on": (1, 2, 1e-3),
                "a rounding more on every second call": (2, 0, 3e-7),
            }.items():  # fmt: skip
                count = [0]
                functions = replaced(
                    operation, part,
                    lambda original, *a, c=count, e=every, s=start, k=scale, **p: on_some(original, *a, every=e, start=s, scale=k, count=c, **p),
                )  # fmt: skip
                yield from planted("purity: another answer", f"another answer {title}", call, functions, impure=True)

            def cached(original: Any, *args: Any, kept: dict[Any, Any], **parameters: Any) -> Any:
                key = (*map(np.shape, args), str(sorted(parameters)), np.asarray(args[0]).dtype)
                if key not in kept:
                    kept[key] = original(*args, **parameters)
                return as_result([np.array(o) for o in as_list(kept[key])])

            other = changed(
                call,
                arguments=tuple(
                    a * a.dtype.type(1.5) if getattr(a, "dtype", np.dtype(int)).kind == "f" else a
                    for a in call.arguments
                ),
                dy=call.dy * 2,
            )
            kept: dict[Any, Any] = {}
            functions = replaced(operation, part, lambda original, *a, k=kept, **p: cached(original, *a, kept=k, **p))
            _call(getattr(functions, operation + ("_vjp" if part == "vjp" else "")), other)
            yield from planted(
                "purity: cache", "the answer of the last call of these shapes", call, functions, impure=False
            )

            def noisy(original: Any, *args: Any, **parameters: Any) -> Any:
                np.random.random()
                return original(*args, **parameters)

            yield from planted(
                "purity: global state", "np.random drawn from", call, replaced(operation, part, noisy), impure=True
            )
            if operation in OPERATIONS[:2]:
                functions = right(operation)
                name = operation + ("_vjp" if part == "vjp" else "")
                setattr(functions, name, _deafening(getattr(functions, name)))
                title = f"{operation} {part}: np.seterr changed"
                yield Mutant(title, operation, functions, call, "purity: global state", impure=True)


def _deafening(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **parameters: Any) -> Any:
        result = function(*args, **parameters)
        np.seterr(all="ignore")
        return result

    return inner


STRIDES: dict[str, Callable[[Any], bool]] = {
    "in Fortran's order": lambda a: a.ndim > 1 and a.flags.f_contiguous and not a.flags.c_contiguous,
    "strided": lambda a: a.ndim > 0 and not a.flags.c_contiguous and not a.flags.f_contiguous,
    "reversed": lambda a: any(s < 0 for s in a.strides),
    "read-only": lambda a: not a.flags.writeable,
    "not owning its memory": lambda a: not a.flags.owndata,
    "repeated": lambda a: any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape, strict=True)),
}


def _arranged(array: Any, how: str) -> Any:
    """The same numbers in another layout (repeated: the first row's)."""
    if how == "in Fortran's order":
        return np.asfortranarray(array)
    if how == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if how == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if how == "repeated":
        return np.broadcast_to(array[:1], array.shape)
    if how == "strided":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return array.copy().reshape(-1).reshape(array.shape)


def layouts() -> Iterator[Mutant]:
    """An argument read as if it lay in C order from its first byte, or a little wrong where it does not."""
    for operation in OPERATIONS:
        for part in PARTS:
            arrays = list(AXES[operation].arguments) + (["dy"] if part == "vjp" else [])
            names = argument_names(operation) + (["dy"] if part == "vjp" else [])
            for name in arrays:
                i = names.index(name)
                for how, holds in STRIDES.items():
                    call = witness(operation, part)
                    victim = (*call.arguments, call.dy)[i] if name != "dy" else call.dy
                    if victim.ndim == 0 or (victim.ndim == 1 and how == "in Fortran's order"):
                        continue
                    arranged = _arranged(victim, how)
                    if not holds(arranged):
                        continue
                    if name == "dy":
                        call = changed(call, dy=arranged)
                    else:
                        call = changed(
                            call, arguments=tuple(arranged if j == i else a for j, a in enumerate(call.arguments))
                        )

                    def function(original: Any, *args: Any, i: int = i, holds: Any = holds, **parameters: Any) -> Any:
                        args = list(args)
                        if i < len(args) and isinstance(args[i], np.ndarray) and args[i].size and holds(args[i]):
                            wrong = args[i].ravel(order="K").reshape(args[i].shape)
                            if (wrong == args[i]).all():
                                wrong = args[i] * args[i].dtype.type(1.25)
                            args[i] = wrong
                        return original(*args, **parameters)

                    yield from planted(
                        f"purity: layout {how}",
                        f"{name} misread where {how}",
                        call,
                        replaced(operation, part, function),
                    )


def mutants() -> Iterator[Mutant]:
    for family in (in_place, views, memories, layouts):
        yield from family()
