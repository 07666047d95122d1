"""Progress on standard error: on a terminal a row for each kind of work; elsewhere a line every half minute."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from leakysm.tables import duration

if TYPE_CHECKING:
    from leakysm.runs import Progress

PERIOD = 30.0  # seconds between two lines where there is no terminal
SLOWEST = 0.1  # steps a second that are shown
SHOWN_FROM = 0.05  # the time left is shown once this part of the work is done
LABELS = {
    "read": "reading images",
    "embed": "embedding",
    "train": "training",
    "validate": "validating",
    "test": "testing",
}


class Show(Protocol):
    """Shows `done` of `total` in the row `label`. total: None if it is not known."""

    def __call__(self, label: str, done: int, total: int | None, figures: str = "") -> None:
        """figures: further words about the work."""


@dataclass
class Lines:
    """Lines on standard error. A line is written only if the one before it is PERIOD seconds old.

    begun: for each label, how much was done when it was first seen, and the time.
    """

    last: float = field(default_factory=monotonic)
    begun: dict[str, tuple[int, float]] = field(default_factory=dict)

    def due(self) -> bool:
        """Whether it is time for a line; if so, the next one is PERIOD seconds from now."""
        now = monotonic()
        if now - self.last < PERIOD:
            return False
        self.last = now
        return True

    def show(self, label: str, done: int, total: int | None, figures: str = "") -> None:
        """Write `training: 120 of 3000, 4.1/s, 12 min left`, if it is time for a line."""
        now = monotonic()
        first, since = self.begun.setdefault(label, (done, now))
        if done < first:
            first, since = self.begun[label] = (done, now)
        if not self.due():
            return
        rate = (done - first) / (now - since) if now > since else 0.0
        parts = [f"{label}: {done}" + ("" if total is None else f" of {total}")]
        if rate:
            if rate >= SLOWEST:
                parts.append(f"{rate:.1f}/s")
            if total is not None and done >= SHOWN_FROM * total:
                parts.append(f"{duration((total - done) / rate)} left")
        print(", ".join([*parts, *([figures] if figures else [])]), file=sys.stderr, flush=True)


@contextmanager
def shown_run() -> Iterator[Callable[[Progress], None]]:
    """A row for each phase of a run, with moving averages of loss and accuracy, the rate and the time left."""
    with _rows() as show:
        recent = {"loss": 0.0, "accuracy": 0.0}
        seen = itertools.count(1)

        def report(progress: Progress) -> None:
            figures = ""
            if progress.loss is not None and progress.accuracy is not None:
                keep = min(0.95, 1 - 1 / next(seen))
                for name, value in (("loss", progress.loss), ("accuracy", progress.accuracy)):
                    recent[name] = keep * recent[name] + (1 - keep) * value
                figures = f"loss {recent['loss']:.3f}  accuracy {recent['accuracy']:.1f} %"
            show(LABELS[progress.phase], progress.done, progress.total, figures)

        yield report


@contextmanager
def shown_count(label: str) -> Iterator[Callable[[int, int], None]]:
    """One row, which report(done, total) moves. It may be called often."""
    with _rows() as show:
        yield lambda done, total: show(label, done, total)


@contextmanager
def shown_transfer() -> Iterator[Callable[[str, int, int | None], None]]:
    """A row for each file, which report(name, bytes, bytes in all or None) moves."""
    with _rows(of_bytes=True) as show:
        yield show


@dataclass(frozen=True)
class Steps:
    """Progress of steps: `count(done, total)` moves the row on a terminal; `line(text)` writes a line elsewhere."""

    count: Callable[[int, int], None]
    line: Callable[[str], None]


@contextmanager
def shown_steps(label: str) -> Iterator[Steps]:
    """A row on a terminal, or a line for each finished step elsewhere."""
    terminal = _console().is_terminal
    with shown_count(label) as count:
        yield Steps(count, lambda text: None if terminal else print(text, file=sys.stderr, flush=True))


@contextmanager
def shown_status() -> Iterator[Callable[[str], None]]:
    """One line, whose text report(text) replaces on a terminal; elsewhere a line every half minute."""
    console = _console()
    if not console.is_terminal:
        lines = Lines()
        yield lambda text: print(text, file=sys.stderr, flush=True) if lines.due() else None
        return
    with console.status("") as status:
        yield status.update


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _rows(*, of_bytes: bool = False) -> Iterator[Show]:
    """A row on a terminal for each label. Work with the same label that begins again reuses its row.

    What the work prints, such as a user's own formula, goes to standard error, where the rows are.
    """
    console = _console()
    if not console.is_terminal:
        with redirect_stdout(sys.stderr):
            yield Lines().show
        return
    from rich.progress import Progress

    with Progress(*_columns(of_bytes), console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(label: str, done: int, total: int | None, figures: str = "") -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total, figures="")
            elif done < bars.tasks[tasks[label]].completed:
                bars.reset(tasks[label], total=total)
            bars.update(tasks[label], completed=done, total=total, figures=figures)

        yield show


def _columns(of_bytes: bool) -> tuple[Any, ...]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "")

    class TimeLeft(TimeRemainingColumn):
        def render(self, task: Any) -> Text:
            early = not task.finished and task.total is not None and task.completed < SHOWN_FROM * task.total
            return Text("") if early else super().render(task)

    return (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn() if of_bytes else MofNCompleteColumn(),
        TransferSpeedColumn() if of_bytes else Rate(),
        TimeLeft(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}"),
    )
