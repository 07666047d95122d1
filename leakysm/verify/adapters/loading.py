"""Load what MODULE[:NAME] names: from the file in its present state, under a module name of its own.

A file is never taken from `sys.modules`, which may hold another module of that name, or an older state of the file.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from leakysm.errors import UserError
from leakysm.modules import fresh_module, import_problem
from leakysm.ops.registry import OPERATIONS

_companions: set[str] = set()  # what earlier targets imported from their own folders


def load(target: str) -> tuple[Any, ModuleType]:
    """What MODULE[:NAME] names, and its module. Whatever importing it raises passes through.

    MODULE is a path to a .py file, or a module's name: looked for in the working directory first, as `python -m`
    does. UserError if NAME is not there, or is a class whose functions want an instance.
    """
    name, _, attribute = target.partition(":")
    module = _module(name)
    value: Any = module
    for part in filter(None, attribute.split(".")):
        if not hasattr(value, part):
            raise UserError(_missing(value, part, name))
        value = getattr(value, part)
    if inspect.isroutine(value) and attribute in OPERATIONS:
        raise UserError(f"{target} is a function; give its module with --operation {attribute}: {name}")
    if inspect.isclass(value) and _wants_instance(value):
        instance = value.__name__.lower()
        raise UserError(
            f"{attribute} is a class; an instance is expected: add a line such as "
            f"`{instance} = {value.__name__}(...)` to the module and name that, {name}:{instance}"
        )
    return value, module


def _module(name: str) -> ModuleType:
    here = Path.cwd()
    if not name.endswith(".py") and not all(part.isidentifier() for part in name.split(".")):
        what = "a folder" if name and Path(name).is_dir() else "not a module's name"
        raise UserError(f"{name!r} is {what}; give a module's name, such as my_losses, or the path of a .py file")
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise UserError(f"{name} does not exist; check the name")
    elif "." not in name and (here / f"{name}.py").is_file():
        path = here / f"{name}.py"
    else:
        with _imports_from(here, name.partition(".")[0]):
            return importlib.import_module(name)
    root, package = package_of(path)
    with _imports_from(root, package.partition(".")[0]):
        if path.name == "__init__.py":
            return importlib.import_module(package)
        if package:
            importlib.import_module(package)
        return fresh_module(path, package=package)


def package_of(path: Path) -> tuple[Path, str]:
    """The folder of a file's outermost package, and the dotted name of the file's package; "" for a plain file."""
    folder, parts = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


@contextlib.contextmanager
def _imports_from(folder: Path, package: str) -> Iterator[None]:
    """A context in which imports look in this folder first, and ignore modules that earlier targets imported."""
    for name in _companions:
        sys.modules.pop(name, None)
    _companions.clear()
    if package and (folder / package).is_dir() and package in sys.modules:
        places = [str(p) for p in getattr(sys.modules[package], "__path__", [])]
        if str(folder / package) not in places:  # another package of the same name
            for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
                del sys.modules[name]
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # so that a file that is edited within the same second is read again
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        _companions.update(n for n in set(sys.modules) - before if _lies_in(sys.modules[n], folder))


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and folder in Path(file).parents and "site-packages" not in Path(file).parts


def _missing(target: Any, part: str, name: str) -> str:
    offered = [n for n in dir(target) if not n.startswith("_")]
    near = difflib.get_close_matches(part, offered, 1)
    holds = [n for n in offered if any(hasattr(getattr(target, n, None), o) for o in OPERATIONS)]
    known = near or holds[:3] or offered[:3]
    mend = f"did you mean {' or '.join(known)}?" if known else "define it there"
    return f"{name} has no attribute {part!r}; {mend}"


def _wants_instance(target: type) -> bool:
    """Whether one of the class's operations is a method, which wants `self`."""
    names = [n + end for n in OPERATIONS for end in ("", "_vjp")]
    functions = [f for n in names if inspect.isfunction(f := inspect.getattr_static(target, n, None))]
    return any(next(iter(inspect.signature(f).parameters), None) == "self" for f in functions)


def cannot_be_imported(target: str, problem: BaseException) -> str:
    """One line that says what the import raised, and how to mend it if we know."""
    path = Path(target.partition(":")[0])
    if isinstance(problem, ModuleNotFoundError) and problem.name == str(path):
        return f"no module {path} here; give the path of its .py file, or run in its folder"
    text = import_problem(problem)
    if isinstance(problem, ImportError) and "relative import" in text and path.suffix == ".py":
        parts = [p for p in path.with_suffix("").parts if p not in ("/", ".", "..")]
        text += f"; its folder has no __init__.py: use the dotted name, leakysm conform {'.'.join(parts)}"
    return text


def as_code(target: str) -> tuple[str, str]:
    """The line of code that loads MODULE[:NAME], and the name under which the code then knows it."""
    name, _, attribute = target.partition(":")
    path, (first, _, rest) = Path(name), attribute.partition(".")
    owner = re.sub(r"\W", "_", attribute.rpartition(".")[2] or path.stem.rpartition(".")[2])
    further = f"; {owner} = {attribute}" if rest else ""
    if name.endswith(".py"):
        ordinary = path.stem.isidentifier() and path.stem not in sys.stdlib_module_names
        if not ordinary or path.resolve().parent != Path.cwd() or Path("__init__.py").exists():
            return f"from leakysm.verify.adapters import load; {owner} = load({target!r})[0]", owner
        name = path.stem
    if attribute:
        return f"from {name} import {first}{further}", owner
    last = name.rpartition(".")[2]
    return (f"import {name}" if last == name else f"import {name} as {last}"), last
