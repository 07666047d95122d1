"""The loss of many classes taken tile by tile, as an implementation for any number of them does; a mistake at a seam."""

# ruff: noqa: E501 (tables: a line an entry)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from .mutant import PARTS, Mutant, planted, replaced
from .witness import Witness, changed, witness

OPERATION = "distance_cross_entropy"
STEPS = (2, 3, 4, 8, 16, 32, 64, 100, 128, 256, 512, 1024, 4096)  # of a run of classes
ROWS = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # of a tile of queries
Cut = Callable[[int, int], list[slice]]


def cut(n: int, step: int) -> list[slice]:
    """Tiles of `step` of n; the last one is what is left."""
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _inside(labels: Any, run: slice) -> Any:
    return (labels >= run.start) & (labels < run.stop)


def _factor(old: Any, new: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return np.where(old == new, 1, np.exp(-np.abs(old - new)))


@dataclass(frozen=True)
class Tiling:
    """The steps of the loss. Each is right by default, and a place for a mistake.

    S is the sum of a row's exp(z - max z) but for the maximum itself.
    """

    classes: Cut = cut
    queries: Cut = cut
    inside: Callable[[Any, slice], Any] = _inside  # whether a label is in a run
    column: Callable[[Any, slice], Any] = lambda labels, run: labels - run.start
    higher: Callable[[Any, Any], Any] = lambda new, old: new > old
    factor: Callable[[Any, Any], Any] = _factor  # of the lesser run's sum
    whole: Callable[[Any], Any] = lambda s: 1 + s  # the lesser run's sum, its maximum included
    share: Callable[[Any, Any], Any] = lambda powers, s: powers / (1 + s)
    mean: Callable[[list[Any]], Any] = lambda losses: np.concatenate(losses).mean()
    rows: Callable[[int, int], int] = lambda n, tile: n  # what dy is divided by
    dx: Callable[[list[Any]], Any] = sum  # of the runs
    dc: Callable[[list[Any]], Any] = sum  # of the tiles of queries


def _softmax(tiling: Tiling, z_of: Callable[[slice], Any], labels: Any, runs: list[slice]) -> tuple[Any, Any, Any, Any]:
    """The largest logit of each row, its first class, S, and the logit at the label; in long doubles."""
    n, here = len(labels), np.arange(len(labels))
    top, s, label = (np.full(n, v, np.longdouble) for v in (-np.inf, -1, 0))
    first = np.zeros(n, int)
    for run in runs:
        z = z_of(run)
        best = z.argmax(axis=1)
        largest = z[here, best]
        powers = np.exp(z - np.where(np.isinf(largest), 0, largest)[:, None])
        powers[here, best] = 0
        mine = np.where(np.isinf(largest), -1, powers.sum(axis=1))
        factor, higher = tiling.factor(top, largest), tiling.higher(largest, top)
        s = np.where(higher, mine + tiling.whole(s) * factor, s + tiling.whole(mine) * factor)
        first = np.where(higher, run.start + best, first)
        top = np.where(higher, largest, top)
        at = here[tiling.inside(labels, run)]
        label[at] = z[at, tiling.column(labels, run)[at]]
    return top, first, s, label


def tiled(tiling: Tiling, step: int, rows: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The loss and its vjp in runs of `step` classes and tiles of `rows` queries."""

    def logits(x: Any, c: Any, distance: Any) -> Callable[[slice], Any]:
        return lambda run: -distance(x, c[run]).astype(np.longdouble)

    def filled(tiles: list[slice]) -> list[slice]:
        return [s for s in tiles if s.stop > s.start]

    def value(x: Any, c: Any, labels: Any, *, distance: Any) -> Any:
        labels, losses, runs = np.asarray(labels), [], filled(tiling.classes(len(c), step))
        for tile in filled(tiling.queries(len(x), rows)):
            z_of = logits(x[tile], c, distance)
            top, _, s, label = _softmax(tiling, z_of, labels[tile], runs)
            losses.append(np.log1p(s) - (label - top))
        return np.asarray(tiling.mean(losses) if losses else 0, x.dtype)

    def vjp(x: Any, c: Any, labels: Any, dy: Any = 1.0, *, distance: Any) -> Any:
        labels, runs = np.asarray(labels), filled(tiling.classes(len(c), step))
        dx, dcs = np.zeros(x.shape, np.longdouble), [np.zeros(c.shape, np.longdouble)]
        for tile in filled(tiling.queries(len(x), rows)):
            z_of, mine, parts = logits(x[tile], c, distance), labels[tile], [np.zeros(x[tile].shape, np.longdouble)]
            dcs.append(np.zeros(c.shape, np.longdouble))
            top, first, s, label = _softmax(tiling, z_of, mine, runs)
            rest = np.where(first == mine, s, 1 + (s - np.exp(label - top)))
            for run in runs:
                powers = np.exp(z_of(run) - top[:, None])
                at = np.flatnonzero(tiling.inside(mine, run))
                powers[at, tiling.column(mine, run)[at]] = -rest[at]
                g = tiling.share(powers, s[:, None]) * -dy / tiling.rows(len(x), len(mine))
                part, dcs[-1][run] = distance.vjp(x[tile], c[run], g.astype(x.dtype))
                parts.append(part)
            dx[tile] = tiling.dx(parts)
        return dx.astype(x.dtype), np.asarray(tiling.dc(dcs)).astype(c.dtype)

    return value, vjp


def _short(n: int, step: int) -> bool:
    return n > step and n % step > 0


CUTS: dict[str, Cut] = {
    "a short last one left out": lambda n, step: cut(n, step)[:-1] if _short(n, step) else cut(n, step),
    "a short last one taken twice": lambda n, step: cut(n, step) + cut(n, step)[-1:] * _short(n, step),
    "a short last one moved back to be whole": lambda n, step: [*cut(n, step)[:-1], slice(max(n - step, 0), n)],
    "the first of each further one left out": lambda n, step: [slice(s.start + (s.start > 0), s.stop) for s in cut(n, step)],
    "the last of each whole one left out": lambda n, step: [slice(s.start, s.stop - (s.stop < n)) for s in cut(n, step)],
    "an overlap of one": lambda n, step: [slice(s.start, min(s.stop + 1, n)) for s in cut(n, step)],
    "the first two alone": lambda n, step: cut(n, step)[:2],
    "the first left out beyond two": lambda n, step: cut(n, step)[len(cut(n, step)) > 2 :],
}  # fmt: skip
MERGES: dict[str, Tiling] = {
    "S not rescaled": Tiling(factor=lambda old, new: np.where(np.isinf(old) | np.isinf(new), 0.0, 1.0)),
    "S rescaled twice": Tiling(factor=lambda old, new: _factor(old, new) ** 2),
    "the lesser maximum dropped": Tiling(whole=lambda s: s),
    "the lesser maximum counted twice": Tiling(whole=lambda s: 2 + s),
    "equal maxima counted once": Tiling(factor=lambda old, new: np.where(old == new, 0, _factor(old, new))),
    "a later maximum unseen": Tiling(higher=lambda new, old: np.isneginf(old)),
    "the last maximum taken": Tiling(higher=lambda new, old: np.ones(new.shape, bool)),
    "labels in the first run alone": Tiling(inside=lambda v, run: _inside(v, run) & (run.start == 0)),
    "labels in the last run unseen where there are two": Tiling(inside=lambda v, run: _inside(v, run) & ((run.start == 0) | (v < v.max(initial=0)))),
    "a label at the start of a further run unseen": Tiling(inside=lambda v, run: _inside(v, run) & ((v > run.start) | (run.start == 0))),
    "a label at the end of a run a place early": Tiling(column=lambda v, run: np.where(v == run.stop - 1, np.maximum(v - 1, run.start), v) - run.start),
}  # fmt: skip
BACK: dict[str, Tiling] = {
    "probabilities of the run alone": Tiling(share=lambda powers, s: powers / np.maximum(np.abs(powers).sum(axis=1, keepdims=True), 1e-300)),
    "dx of the last run alone": Tiling(dx=lambda parts: parts[-1]),
    "dx without the last run": Tiling(dx=lambda parts: sum(parts[: max(len(parts) - 1, 2)])),
    "dx of the last run twice": Tiling(dx=lambda parts: sum(parts) + parts[-1]),
}  # fmt: skip
MEANS: dict[str, Tiling] = {
    "the mean of the tiles' means": Tiling(mean=lambda parts: np.mean([p.mean() for p in parts])),
    "the sum of the tiles' means": Tiling(mean=lambda parts: np.sum([p.mean() for p in parts]), rows=lambda n, tile: tile),
    "the last tile alone": Tiling(mean=lambda parts: parts[-1].mean(), dc=lambda parts: parts[-1]),
    "without the last tile": Tiling(mean=lambda parts: np.concatenate(parts[: max(len(parts) - 1, 1)]).mean(), dc=lambda parts: sum(parts[: max(len(parts) - 1, 2)])),
}  # fmt: skip


def _many_classes(part: str, step: int, title: str) -> Witness:
    """Two runs and half a one; labels at all seams; the nearest class in the last run, or in two runs alike."""
    m = 2 * step + step // 2 + 1
    call = witness(OPERATION, part, "float64", N=6 if step < 600 else 3, M=m, D=2)
    x, c, _ = (a.copy() for a in call.arguments)
    c[step] = x[0]
    if "equal" in title:
        c[0] = x[0]
    labels = np.array([step, m - 1, step - 1, 0, 2 * step, 1])[: len(x)]
    return changed(call, arguments=(x, c, labels))


def _many_queries(part: str, rows: int) -> Witness:
    return witness(OPERATION, part, "float64", N=2 * rows + rows // 2 + 1, M=3, D=2)


def planted_in(tiling: Tiling, step: int, rows: int, part: str) -> SimpleNamespace:
    """The functions with a part taken in such tiles."""

    def function(original: Any, x: Any, c: Any, *args: Any, **parameters: Any) -> Any:
        mine = tiled(tiling, step, rows)[part == "vjp"] if x.size else original
        return mine(x, c, *args, **parameters)

    return replaced(OPERATION, part, function)


def mutants() -> Iterator[Mutant]:
    """The mistakes in tiles: each gets a third of the sizes, in turn."""
    of_classes = {f"runs of {{}}: {title}": Tiling(classes=change) for title, change in CUTS.items()}
    of_classes |= {f"runs of {{}}: {title}": tiling for title, tiling in (MERGES | BACK).items()}
    of_queries = {f"tiles of {{}} queries: {title}": Tiling(queries=change) for title, change in CUTS.items()}
    of_queries |= {f"tiles of {{}} queries: {title}": tiling for title, tiling in MEANS.items()}
    for part in PARTS:
        for turn, (title, tiling) in enumerate(of_classes.items()):
            for step in STEPS[turn % 3 :: 3]:
                call, functions = _many_classes(part, step, title), planted_in(tiling, step, 1 << 20, part)
                yield from planted("structure: runs" + _reach(step), title.format(step), call, functions)
        for turn, (title, tiling) in enumerate(of_queries.items()):
            for rows in ROWS[turn % 3 :: 3]:
                call, functions = _many_queries(part, rows), planted_in(tiling, 1 << 20, rows, part)
                yield from planted("structure: tiles" + _reach(rows), title.format(rows), call, functions)


def _reach(size: int) -> str:
    return " up to 4096" if size > 64 else ""
