"""Places that a new folder or a new command must be entered in: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from leakysm.ops.registry import OPERATIONS
from tests.cli.commands import commands

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = {"leakysm": ROOT / "leakysm", "leakysm_cli": ROOT / "cli", "leakysm_benchmarks": ROOT / "benchmarks"}
FOLDERS = {
    ".".join((package, *init.parent.relative_to(top).parts)): init
    for package, top in INSTALLED.items()
    for init in top.rglob("__init__.py")
}


def test_every_folder_is_installed() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    wanted = {*FOLDERS, "leakysm.reference_data"}
    missing, gone = sorted(wanted - set(packages)), sorted(set(packages) - wanted)
    assert not missing, f"{missing}: add to `packages` in pyproject.toml"
    assert not gone, f"{gone}: no such folder has an __init__.py; remove from `packages` in pyproject.toml, or add it"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_begins_with_what_it_is_for(folder: str) -> None:
    file = FOLDERS[folder]
    assert ast.get_docstring(ast.parse(file.read_text())), f"{file}: begin it with a docstring, what the folder is for"


@pytest.mark.parametrize("folder", sorted(FOLDERS.keys() - {"leakysm"}))
def test_every_folder_says_which_of_its_files_does_what(folder: str) -> None:
    """Operations and commands are known by their names."""
    init = FOLDERS[folder]
    named = set(re.findall(r"`(\w+)`", ast.get_docstring(ast.parse(init.read_text())) or ""))
    files = {path.stem for path in init.parent.glob("*.py") if not path.read_text().startswith('"""`leakysm ')}
    folders = {path.parent.name for path in init.parent.glob("*/__init__.py")}
    missing = sorted((files | folders) - named - set(OPERATIONS) - {"__init__"})
    assert not missing, f"{missing}: name each in the docstring of {init}, and say what it does"


def test_contributing_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:leakysm|cli|tests|docs)/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_file_of_a_command_is_a_command() -> None:
    """Such a file begins with the name of its command."""
    files = {file.stem for file in (ROOT / "cli").glob("*.py") if file.read_text().startswith('"""`leakysm ')}
    known = {words[0] for words, _ in commands() if words}
    unused, unnamed = sorted(files - known), sorted(known - files)
    assert not unused, f"{unused}: import the file in cli/main.py, and add its function to SECTIONS there"
    assert not unnamed, f'{unnamed}: begin cli/COMMAND.py with """`leakysm COMMAND`'
