"""Progress bars on a terminal. Where standard error is no terminal, nothing is shown, or a line for each step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakysm.runs import Progress

LABELS = {"train": "training", "validate": "validating", "test": "testing"}


@contextmanager
def shown_run() -> Iterator[Callable[[Progress], None]]:
    """A bar for each phase of a run, with moving averages of loss and accuracy, the rate and the time left."""
    with _bars() as bars:
        tasks: dict[str, Any] = {}
        recent = {"loss": 0.0, "accuracy": 0.0}

        def report(progress: Progress) -> None:
            phase = progress.phase
            if phase not in tasks or (bars.tasks[tasks[phase]].finished and progress.done < progress.total):
                tasks[phase] = bars.add_task(LABELS[phase], total=progress.total, figures="")
            figures = ""
            if progress.loss is not None and progress.accuracy is not None:
                keep = min(0.95, 1 - 1 / max(progress.done, 1))
                for name, value in (("loss", progress.loss), ("accuracy", progress.accuracy)):
                    recent[name] = keep * recent[name] + (1 - keep) * value
                figures = f"loss {recent['loss']:.3f}  accuracy {recent['accuracy']:.1f} %"
            bars.update(tasks[phase], completed=progress.done, figures=figures)

        yield report


@contextmanager
def shown_count(label: str) -> Iterator[Callable[[int, int], None]]:
    """One bar, which report(done, total) moves. It may be called often."""
    with _bars() as bars:
        tasks: list[Any] = []

        def report(done: int, total: int) -> None:
            if not tasks:
                tasks.append(bars.add_task(label, total=total, figures=""))
            bars.update(tasks[0], completed=done, total=total)

        yield report


@dataclass(frozen=True)
class Steps:
    """Progress of steps: `count(done, total)` moves the bar on a terminal; `line(text)` writes a line elsewhere."""

    count: Callable[[int, int], None]
    line: Callable[[str], None]


@contextmanager
def shown_steps(label: str) -> Iterator[Steps]:
    """A bar on a terminal, or a line for each finished step in a pipe; both on standard error."""
    from rich.console import Console

    terminal = Console(stderr=True).is_terminal
    with shown_count(label) as count:
        yield Steps(count, lambda text: None if terminal else print(text, file=sys.stderr, flush=True))


@contextmanager
def shown_status() -> Iterator[Callable[[str], None]]:
    """One line on a terminal, whose text report(text) replaces."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda line: None
        return
    with console.status("") as status:
        yield status.update


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "")

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)
