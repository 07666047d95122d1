"""A distance from a user's file, named FILE.py:CLASS. The file's text is read, run and kept."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any

from leakysm.errors import UserError, suggestion
from leakysm.files import expanded, printable, read_file
from leakysm.modules import fresh_module, import_problem

LARGEST = 1 << 20  # bytes of such a file
_NAME = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)")


def is_own(distance: str) -> bool:
    """Whether this names a class in a file, FILE.py:CLASS."""
    return _NAME.fullmatch(distance) is not None


def split(distance: str) -> tuple[Path, str]:
    """The file and the class of FILE.py:CLASS."""
    match = _NAME.fullmatch(distance)
    assert match, distance
    return expanded(match["file"]), match["name"]


def without_folder(distance: str) -> str:
    """FILE.py:CLASS without the file's folder; any other name as it is."""
    if not is_own(distance):
        return distance
    path, name = split(distance)
    return f"{path.name}:{name}"


@dataclass(frozen=True)
class FormulaFile:
    """The text of a file that defines a distance. trusted: whether it may be run.

    path: of that file, or of the checkpoint that holds the text.
    """

    path: Path
    text: bytes = field(repr=False)
    trusted: bool = True

    @classmethod
    def read(cls, path: Path, *, trusted: bool = True, mend: str = "check the name") -> FormulaFile:
        """UserError that ends in `mend` if the file cannot be read."""
        return cls(path, read_file(path, most=LARGEST, mend=mend), trusted)

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def _reading(self) -> str:
        """The command that writes the text of a checkpoint to a file."""
        return f"leakysm export {quote(printable(self.path.parent))} --out formula.py"

    def named(self, name: str, bases: tuple[type, ...]) -> type[Any]:
        """The class of that name, a subclass of one of the bases. The text is run, once in a process.

        UserError if it may not be run, cannot be imported, or has no such class.
        """
        if not self.trusted:
            kept, how = ("is", "") if self.path.suffix == ".py" else ("holds", f" ({self._reading})")
            raise UserError(
                f"{printable(self.path)} {kept} code that this run's distance needs; read it{how}, then add --trust to "
                "run it"
            )
        module = _module(self.path, self.text)
        wanted = " or ".join(f"leakysm.{base.__name__}" for base in bases)
        found = getattr(module, name, None)
        if found is None:
            raise UserError(f"{printable(self.path)} has no class {name!r}; {_instead(module, name, bases, wanted)}")
        if not inspect.isclass(found) or not issubclass(found, bases):
            raise UserError(f"{printable(self.path)}: {name} is no subclass of {wanted}; make it one")
        return found


@lru_cache(maxsize=64)
def _module(path: Path, text: bytes) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no part of a command's output
            return fresh_module(path, text=text)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        raise UserError(f"{printable(path)} {import_problem(problem)}; {_mend(problem)}") from problem


def _mend(problem: BaseException) -> str:
    if "Cannot overwrite attribute __setattr__" in str(problem):
        return "leave @dataclass out, a subclass becomes one by itself"
    if isinstance(problem, ModuleNotFoundError) or "relative import" in str(problem):
        return "it cannot import other files of yours: put what it needs into it, or install the package"
    return "correct the file"


def _instead(module: ModuleType, name: str, bases: tuple[type, ...], wanted: str) -> str:
    """What to do about a class that is not there."""
    own = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, bases) and value.__module__ == module.__name__
    ]
    return suggestion(name, own) if own else f"define it there, as a subclass of {wanted}"
