"""docs/data.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from leakysm_cli.data import app
from typer.testing import CliRunner

from leakysm.data import DATASETS, SPLITS, load, miniimagenet_classes, omniglot
from leakysm.data.fetch import ARCHIVES, Archive

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


def row(first: str) -> str:
    """The table row whose first cell names this."""
    return next(line for line in PAGE.splitlines() if re.match(rf"\| .*`{first}`", line))


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_row_and_a_section(name: str) -> None:
    assert row(name)
    assert f"\n## {name}\n" in PAGE


def test_the_counts_are_the_codes() -> None:
    strokes = ", ".join(f"{split} {one.n_classes}" for split, one in load("strokes").splits.items())
    mini = ", ".join(f"{split} {count}" for split, count in miniimagenet_classes.CLASSES.items())
    assert strokes in row("strokes")
    assert mini in row("miniimagenet")
    for split in SPLITS:
        parts = [int(omniglot.PARTS[part]) for part in omniglot.SPLITS[split]]
        stated = [int(count) for count in re.findall(r"\b\d{2,}\b", row(split))]
        if split.startswith("vinyals"):  # lists deal the two parts' classes anew
            assert sum(stated) == sum(parts)
        else:
            assert set(parts) <= set(stated)


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_the_checksums_are_those_that_fetch_expects(archive: Archive) -> None:
    stated = next(line for line in PAGE.splitlines() if line.startswith(f"| `{archive.name}`"))
    assert re.findall("[0-9a-f]{32,}", stated) == [archive.md5, archive.images]


def test_the_commands_of_the_page_exist() -> None:
    commands = re.findall(r"^    leakysm data (\w+)(.*?)(?:#.*)?$", PAGE, re.MULTILINE)
    assert [name for name, _ in commands] == ["info", "show", "prepare", "fetch", "prepare"]
    for name, options in commands:
        page = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert all(option in page for option in re.findall("--[a-z]+", options))


def test_the_readme_leads_to_the_page() -> None:
    assert "(docs/data.md)" in (ROOT / "README.md").read_text("utf-8")
