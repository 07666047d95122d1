"""Places that a new folder or a new command must be entered in: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

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
    assert set(packages) == {*FOLDERS, "leakysm.reference_data"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_begins_with_what_it_is_for(folder: str) -> None:
    assert ast.get_docstring(ast.parse(FOLDERS[folder].read_text()))


def test_every_file_of_a_command_is_a_command() -> None:
    """Such a file begins with the name of its command."""
    files = {file.stem for file in (ROOT / "cli").glob("*.py") if file.read_text().startswith('"""`leakysm ')}
    assert files == {words[0] for words, _ in commands() if words}
