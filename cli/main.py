"""The command `leakysm`: one Typer app, its commands, and errors in one line.

Nothing heavy is imported here or at the top of a command's file: `leakysm --help` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from errno import EDQUOT, EIO, EMFILE, ENFILE, ENOSPC
from typing import Annotated, Any

import typer
from leakysm_cli import (
    audit,
    bench,
    compare,
    conform,
    data,
    evaluate,
    export,
    gradients,
    info,
    predict,
    report,
    sweep,
    train,
    vectors,
    verify,
)
from leakysm_cli.help import CONTEXT, SectionedCommand, SectionedGroup
from leakysm_cli.misuse import reworded
from leakysm_cli.signals import listen
from leakysm_cli.stopping import raise_again, request

from leakysm.errors import LeakysmError

FULL = (ENOSPC, EDQUOT)
LONGEST = 600  # letters of a message


class OneLineErrors(SectionedGroup):
    """A group of commands that reports a user's error in one line on standard error, with its exit status."""

    def main(self, args: Sequence[str] | None = None, *arguments: Any, **keywords: Any) -> Any:
        args = [with_home(word) for word in (sys.argv[1:] if args is None else args)] or ["--help"]
        keywords["standalone_mode"] = False
        request.words = args
        try:
            code = super().main(args, *arguments, **keywords)
            flush()
        except typer.Abort:
            fail("stopped", 1)
        except BrokenPipeError:
            end_of_a_pipe()
        except Exception as error:
            if request.number and request.ending:  # a signal that ended an import comes as another error
                raise KeyboardInterrupt from error
            fail(*told(error))
        sys.exit(request.status(code if isinstance(code, int) else 0))


def with_home(word: str) -> str:
    """`--data=~/x` with the home folder in it: a shell puts it into `--data ~/x` alone."""
    name, equals, value = word.partition("=")
    return f"{name}={os.path.expanduser(value)}" if equals and name.startswith("--") and value[:1] == "~" else word


def flush() -> None:
    """Write out the rest of standard output, so that we report an error there, and not Python when it ends."""
    if sys.stdout:  # it may be closed
        sys.stdout.flush()


def end_of_a_pipe() -> None:
    """End silently if standard output is the pipe that nobody reads any more, as after `head`; else report it."""
    try:
        flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    fail("another program ended while this one was writing to it; run the command again", 1)


def told(error: Exception) -> tuple[str, int]:
    """(message, exit status) of an error that a user can cause; any other error is raised again, with its traceback."""
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # bad use of options: Typer's own errors
        return shortened(reworded(error)), error.exit_code
    if isinstance(error, LeakysmError):
        return shortened(" ".join(str(error).split())), error.exit_code
    if isinstance(error, OSError) and error.errno in (EMFILE, ENFILE):
        return "too many files are open; allow more: ulimit -n 1024", 1
    if isinstance(error, OSError) and error.filename:  # a file or folder that the system refuses
        mend = "make room, or choose another place" if error.errno in FULL else "give another one"
        return f"{error.filename}: {error.strerror}; {mend}", 2
    if isinstance(error, FileNotFoundError):  # of os.getcwd
        return "the current folder does not exist any more; change to another one", 2
    if isinstance(error, OSError) and error.errno in (*FULL, EIO):
        return f"the output cannot be written: {error.strerror}; make room, or send it elsewhere", 1
    if isinstance(error, MemoryError):
        return f"out of memory ({' '.join(str(error).split())}); use a smaller way, shot or query, or smaller images", 1
    raise error


def shortened(message: str) -> str:
    """The message without its middle where it is long: it may quote what a file holds. Its beginning names the file,
    and its end says what to do."""
    cut = len(message) > LONGEST
    return f"{message[: LONGEST * 3 // 5]} ... {message[-LONGEST * 2 // 5 :]}" if cut else message


def fail(message: str, code: int) -> None:
    typer.echo(f"leakysm: {message}", err=True)
    sys.exit(code)


app = typer.Typer(
    name="leakysm",
    cls=OneLineErrors,
    help="Few-shot classification with leaky squared Euclidean distance: train, test, check, compare.\n\n"
    "Example: leakysm train --way 5 --episodes 500",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings=CONTEXT,
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"leakysm {version('leakysm')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    pass


SECTIONS: dict[str, tuple[Callable[..., None] | typer.Typer, ...]] = {
    "Train and test": (train.train, evaluate.evaluate, predict.predict, export.export, audit.audit),
    "Experiments": (compare.compare, gradients.gradients, sweep.sweep, report.report),
    "Verify": (verify.verify, conform.conform, vectors.app),
    "Data and tools": (data.app, bench.bench, info.info),
}
for section, commands in SECTIONS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=section)
        else:
            app.command(cls=SectionedCommand, rich_help_panel=section)(command)


def main() -> None:
    """The command `leakysm`, in the process that it has to itself: signals are answered from here on."""
    try:
        listen(request.answer)
        sys.unraisablehook = raise_again
        prepare()
        app(prog_name="leakysm")
    except KeyboardInterrupt:  # before or after the time in which a command answers it
        sys.exit(128 + request.number)


def prepare() -> None:
    """Silence what other libraries would print, and let the output take every name."""
    # Pillow's warnings: we report them as errors ourselves, or they do not matter. Matplotlib's: a font lacks a letter
    for words in ("Image size .* exceeds limit", "Corrupt EXIF data", "Glyph .* missing from"):
        warnings.filterwarnings("ignore", message=words)
    os.environ["MPLBACKEND"] = "agg"  # a notebook names its own, which is not there in this process
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it complains where there is no home folder
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names that the output's encoding cannot write
