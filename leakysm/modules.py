"""A Python file as a module: from the text that it has now, under a name of its own."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_numbers = itertools.count(1)


class _TextLoader(SourceFileLoader):
    """Loads the present text of a file, or the given one, never bytecode of an older text."""

    def __init__(self, fullname: str, path: str, text: bytes | None) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path) if self._text is None else self._text, path)


def fresh_module(path: Path, *, package: str = "", text: bytes | None = None) -> ModuleType:
    """A new module made from a file, under a new name in `package`. Whatever the text raises passes through.

    text: what to load in place of the file's present content. No module that was imported before is taken.
    """
    name = f"{package + '.' if package else ''}_{path.stem}_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_TextLoader(name, str(path), text))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_problem(problem: BaseException) -> str:
    """What importing a module raised, in one line."""
    return " ".join(f"cannot be imported: {type(problem).__name__}: {problem}".split())
