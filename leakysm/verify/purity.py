"""Purity, checked on the implementation's own arrays: a call gives its results and has no side effect.

It changes no argument and no setting of the program. Its result is no view of an argument and no memory that the next
call uses again. The same call gives the same bits, and other ones once an argument holds other numbers.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakysm.verify.adapters.arrays import HostArray, WatchedSetting, as_tuple, kept
from leakysm.verify.calls import Call, floats_of

FEW = 1000  # a case of fewer numbers is called many times
SHORT = 8  # an argument of more numbers has a part to write to
# Numbers of calls: buffers used in turn come again, and what is called often may have code of its own. Even, so that an
# error in every second call shows.
BUFFERS, OFTEN = 16, 130
LONG = 5.0  # seconds; a function that takes longer is called less often
FRESH = 16  # arrays that are held at once, so that the last one's memory is new
CLOSE = "abs({0} - {1}).max() <= 1e-3 * abs({1}).max()"


@dataclass(frozen=True)
class Impurity:
    """A side effect. The check as code: keep `before`, make the call, then `again` if any; `pure` must be true.

    `again`: the expression for each argument of a second call, by name; None for no second call. copied: the same for a
    third call, on copies, whose result is `right`.
    """

    problem: str
    before: str | None
    pure: str
    again: dict[str, str] | None = None
    copied: dict[str, str] | None = None
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observation:
    """A call's results as host arrays, or what it raised; and its side effect, if any."""

    results: tuple[HostArray, ...] = ()
    raised: BaseException | None = None
    impurity: Impurity | None = None
    again: tuple[HostArray, ...] | None = None  # of the same call made twice, if it was


def observed(call: Call) -> Observation:
    """Make a call, and watch its arguments and the program's settings; if its manner says so, further calls as well.

    Only NotOffered passes through.
    """
    arrays = call.arrays
    settings = [s for s in arrays.watched_settings if call.manner.purity or not s.costly]
    with call.around():
        given, function = call.placed(), call.function()
        marks = {name: _states(call, given[name]) for name, host in call.hosts.items() if isinstance(host, np.ndarray)}
        try:
            with kept(settings, arrays.scope) as changed:
                raw = as_tuple(function(*given.values()))
                changes = changed()
            results = arrays.hosted(raw)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            return Observation(raised=problem)
        never = (of_setting(setting) for setting in changes if not setting.once)
        impurity = _changed(call, given, marks) or _view(call, given, raw) or next(never, None)
        if impurity is None and changes:
            impurity = _setting_changed_again(call, function)
        again = None
        if impurity is None and _is_called_twice(call):
            with kept(settings, arrays.scope), contextlib.suppress(Exception):
                second = as_tuple(function(*given.values()))
                impurity = _same_memory(call, raw, second)
                again = arrays.hosted(second)
        if impurity is None and call.manner.purity and all(r.size for r in results):
            impurity = _repeated(call, function, given, raw)
            impurity = impurity or _stale(call, function, raw) or _tied_to_value(call, function, raw)
            impurity = impurity or _stale_view(call, function)
        return Observation(results, None, impurity, again)


def _states(call: Call, array: Any) -> tuple[Any, ...]:
    """The values of all watched expressions for an array; () if one cannot be read, as of a donated JAX array."""
    try:
        return tuple(call.arrays.evaluated(f"({', '.join(call.arrays.watched)},)", array))
    except Exception:
        return ()


def _changed(call: Call, given: dict[str, Any], marks: dict[str, tuple[Any, ...]]) -> Impurity | None:
    for name, before in marks.items():
        after = _states(call, given[name])
        if after != before:
            changed = [read for read, a, b in zip(call.arrays.watched, after, before, strict=False) if a != b]
            text = (changed or call.arrays.watched)[0].format(name)
            return Impurity(f"changed its argument {name}: {text} is different afterwards", text, f"before == {text}")
    return None


def of_setting(setting: WatchedSetting) -> Impurity:
    """The side effect of a call that changed a setting of the program."""
    problem = f"changed a setting of the program, {setting.read}"
    return Impurity(problem, setting.read, f"before == {setting.read}", modules=(setting.module,))


def _setting_changed_again(call: Call, function: Callable[..., Any]) -> Impurity | None:
    """A setting that a further call changes. The first does not count: libraries that load late may set some, once."""
    arrays = call.arrays
    with kept(arrays.watched_settings, arrays.scope) as changed:
        with contextlib.suppress(Exception):
            function(*call.placed().values())
        return next(map(of_setting, changed()), None)


def _named(call: Call, results: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Each result and how it is written: `result`, or `result[0]` where there are several."""
    return [("result" if len(results) == 1 else f"result[{i}]", r) for i, r in enumerate(results)]


def _view(call: Call, given: dict[str, Any], results: tuple[Any, ...]) -> Impurity | None:
    """A result in an argument's memory. A framework's autodiff may return dy itself; that is allowed."""
    shares = call.arrays.shares
    if shares is None or (call.part == "vjp" and call.implementation.differentiates(call.case.operation)):
        return None
    for text, result in _named(call, results):
        for name in floats_of(call):
            if call.arrays.evaluated(shares, result, given[name]):
                problem = f"gave a view of its argument {name}: the result shares its memory"
                return Impurity(problem, None, f"not ({shares.format(text, name)})")
    return None


def _is_called_twice(call: Call) -> bool:
    """Whether two results of the call are compared for the memory they lie in: in one dtype of small cases."""
    differentiates = call.part == "vjp" and call.implementation.differentiates(call.case.operation)
    alike = call.dtype == "float32" and call.case.size < FEW and not call.manner.way
    return alike and not differentiates and call.arrays.shares is not None


def _same_memory(call: Call, results: tuple[Any, ...], again: tuple[Any, ...]) -> Impurity | None:
    """A result in the memory of an earlier one."""
    arrays, shares = call.arrays, call.arrays.shares
    if shares is None:
        return None
    for (text, result), other in zip(_named(call, results), again, strict=False):
        if arrays.evaluated(arrays.writable, result) and arrays.evaluated(shares, result, other):
            problem = "gave the same memory twice: what is written into one result changes the other"
            repeated = text.replace("result", "repeated", 1)
            return Impurity(problem, None, f"not ({shares.format(text, repeated)})", {n: n for n in call.names})
    return None


def _is_contiguous(call: Call) -> bool:
    return set(call.layouts.values()) == {"contiguous"}


def _times(call: Call) -> int:
    """How many times to call a function with other numbers: once for a large case, most often in float32."""
    if not call.arrays.overwritten or call.case.size >= FEW or not _is_contiguous(call):
        return 1
    return OFTEN if call.dtype == "float32" else BUFFERS


def _repeated(call: Call, function: Any, given: dict[str, Any], results: tuple[Any, ...]) -> Impurity | None:
    """Other numbers in between, then the same call again."""
    arrays = call.arrays
    bits = [(arrays.bits.format(t), r, arrays.evaluated(arrays.bits, r)) for t, r in _named(call, results)]
    other = {n: arrays.other if n in floats_of(call) else "{0}" for n in given}
    try:
        end = time.monotonic() + LONG
        for done in range(_times(call)):
            if done >= 2 and time.monotonic() > end:
                break
            function(*[arrays.evaluated(e, given[n]) if e != "{0}" else given[n] for n, e in other.items()])
    except Exception:
        return None  # an error for other numbers is not an error of this case
    written = {n: e.format(n) for n, e in other.items()}
    for text, result, before in bits:
        if arrays.evaluated(arrays.bits, result) != before:
            problem = "its result changed when it was called again with other numbers: the calls share a buffer"
            return Impurity(problem, text, f"before == {text}", written)
    try:
        repeated = as_tuple(function(*given.values()))
    except Exception:
        repeated = ()
    for (text, _, before), result in itertools.zip_longest(bits, repeated):
        if result is None or arrays.evaluated(arrays.bits, result) != before:
            again = text.replace("result", "repeated", 1)
            return Impurity(
                "the same call gave other bits the second time", text, f"before == {again}", {n: n for n in given}
            )
    return None


def _stale(call: Call, function: Any, results: tuple[Any, ...]) -> Impurity | None:
    """Write other numbers into arguments: a result that is kept for the arrays is then wrong."""
    arrays = call.arrays
    if not _is_contiguous(call):
        return None
    for changes in _changes(call):
        try:
            right, again = _overwritten(call, function, changes)
        except Exception:
            return None  # an error for other numbers is not an error of this case
        where = "the arguments" if len(changes) > 1 else next(iter(changes))
        written = {n: changes[n].format(n) if n in changes else n for n in call.names}
        named = zip(_named(call, results), _bits(call, results), right, again, strict=False)
        for (text, _), before, wanted, got in named:
            expected, now = _bits(call, (wanted, got))
            repeated = text.replace("result", "repeated", 1)
            if now == before != expected:
                problem = (
                    f"gave the old result after other numbers were written into {where}: it keeps results of arrays"
                )
                bits = arrays.bits.format(text), arrays.bits.format(repeated)
                return Impurity(problem, bits[0], f"before != {bits[1]}", written)
            if now != expected and not arrays.evaluated(CLOSE, got, wanted):
                problem = (
                    f"gave a wrong result after other numbers were written into {where}: it keeps a part of arrays"
                )
                close = CLOSE.format(repeated, text.replace("result", "right", 1))
                return Impurity(problem, None, close, written, _copies(call, {}))
    return None


def _changes(call: Call) -> Iterator[dict[str, str]]:
    """Expressions that write other numbers, by the argument's name: into one argument after another.

    They write into all of it, then into a part; labels get another order. In a large case, to save time, they write
    into all arguments at once, and into a part of those that have one.
    """
    names, ways = floats_of(call), call.arrays.overwritten
    labels = [argument.name for argument in call.case.definition.arguments if argument.kind == "labels"]
    if ways and call.case.size >= FEW:
        yield {name: ways[np.size(call.hosts[name]) > SHORT] for name in names}
    else:
        yield from ({name: way} for name, way in itertools.product(names, ways))
        yield from ({name: way} for name, way in itertools.product(labels, ways[-1:]))


def _copies(call: Call, other: dict[str, str]) -> dict[str, str]:
    """An expression for a copy of each argument, or of another one in its place, by name."""
    return {
        name: call.arrays.copied.format(other.get(name, name)) if isinstance(host, np.ndarray) else name
        for name, host in call.hosts.items()
    }


def _stale_view(call: Call, function: Any) -> Impurity | None:
    """A square array, then a view of it with exchanged axes: what is kept by an address is wrong for the view."""
    arrays = call.arrays
    if not _is_contiguous(call) or arrays.shares is None:
        return None
    for name in floats_of(call):
        shape = np.shape(call.hosts[name])
        if len(shape) < 2 or shape[0] != shape[1]:
            continue
        try:
            given = call.placed()
            function(*given.values())
            viewed = given | {name: arrays.evaluated(arrays.swapped, given[name])}
            got = as_tuple(function(*viewed.values()))
            copies = {n: arrays.evaluated(arrays.copied, a) if n in floats_of(call) else a for n, a in viewed.items()}
            right = as_tuple(function(*copies.values()))
        except Exception:
            return None  # an error for other numbers is not an error of this case
        for (text, _), wanted, now in zip(_named(call, right), right, got, strict=False):
            if not arrays.evaluated(CLOSE, now, wanted):
                close = CLOSE.format(text.replace("result", "repeated", 1), text.replace("result", "right", 1))
                swapped = {name: arrays.swapped.format(name)}
                again = {n: swapped.get(n, n) for n in call.names}
                problem = f"gave a wrong result for a view of {name} with exchanged axes: it keeps results of addresses"
                return Impurity(problem, None, close, again, _copies(call, swapped))
    return None


def _value_of(call: Call) -> Callable[..., Any] | None:
    """The value's function, where the gradient is the implementation's own; else None."""
    implementation, case = call.implementation, call.case
    own = call.part == "vjp" and not implementation.differentiates(case.operation)
    if not own or not implementation.offers(case.operation, "value"):
        return None
    return implementation.function(case.operation, "value", case.parameters)


def _tied_to_value(call: Call, function: Any, results: tuple[Any, ...]) -> Impurity | None:
    """A gradient that differs after the value was called, and the value's results were overwritten."""
    arrays, case, value, names = call.arrays, call.case, _value_of(call), call.names[:-1]
    if value is None or not arrays.overwritten or not _is_contiguous(call):
        return None
    write = arrays.overwritten[0]
    try:
        given = call.placed()
        for result in as_tuple(value(*[given[n] for n in names])):
            arrays.evaluated(write, result)
        after = as_tuple(function(*given.values()))
    except Exception:
        return None  # a result that cannot be written to, or another error: not this check's
    for (text, _), before, now in zip(_named(call, results), _bits(call, results), _bits(call, after), strict=False):
        if now != before:
            problem = "gave another gradient after the value's results were written into: it keeps what it returned"
            called = call.implementation.snippet(case.operation, "value", case.parameters, call.dtype).call(names)
            each = called if len(case.definition.outputs) > 1 else f"[{called}]"
            again = {n: n for n in names} | {"dy": f"([{write.format('r')} for r in {each}], dy)[1]"}
            repeated = arrays.bits.format(text.replace("result", "repeated", 1))
            return Impurity(problem, arrays.bits.format(text), f"before == {repeated}", again)
    return None


def _overwritten(call: Call, function: Any, changes: Mapping[str, str]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The results for other numbers in some arguments: of new arrays, and of arrays that were given before."""
    arrays, new, given = call.arrays, call.placed(), call.placed()
    held = []  # the last of so many arrays lies where no array lay before
    for name, written in changes.items():
        if call.case.size < FEW:
            held += [arrays.placed(call.hosts[name], call.layouts[name]) for _ in range(FRESH)]
            new[name] = held[-1]
        arrays.evaluated(written, new[name])
    right = as_tuple(function(*new.values()))
    function(*given.values())
    if (value := _value_of(call)) is not None:
        value(*[given[n] for n in call.names[:-1]])
    for name, written in changes.items():
        arrays.evaluated(written, given[name])
    return right, as_tuple(function(*given.values()))


def _bits(call: Call, results: tuple[Any, ...]) -> list[Any]:
    return [call.arrays.evaluated(call.arrays.bits, result) for result in results]
