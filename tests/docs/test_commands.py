"""Every `leakysm` command that README or docs name exists, and has the options that they give it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.commands import commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CALL = re.compile(r"(?<![\w./-])leakysm ([a-z]+)((?: [^`\n|;&#]*)?)")
OPTIONS = {words: {name for p in command.params for name in p.opts} for words, command in commands()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_options_of_every_command_exist(page: Path) -> None:
    text = page.read_text("utf-8").replace("\\\n", " ")
    for name, rest in CALL.findall(text):
        if (name,) not in OPTIONS:
            continue  # prose
        below = (name, *rest.split()[:1])
        known = OPTIONS[below if below in OPTIONS else (name,)]
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", rest):
            assert option in known, f"leakysm {name}{rest}"
