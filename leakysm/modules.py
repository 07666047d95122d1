"""A Python file as a module: from the text that it has now, under a name of its own."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from leakysm.errors import described

_numbers = itertools.count(1)


def fresh_module(path: Path, *, package: str = "", text: bytes | None = None) -> ModuleType:
    """A new module made from a file, under a new name in `package`. Whatever the text raises passes through.

    text: what to load in place of the file's present content. Modules imported before and bytecode of
    an older text are not used.
    """
    name = f"{package + '.' if package else ''}_{path.stem}_{next(_numbers)}"
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        exec(loader.source_to_code(path.read_bytes() if text is None else text, path), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_problem(problem: BaseException) -> str:
    """What importing a module raised, in one line."""
    return f"cannot be imported: {described(problem)}"
