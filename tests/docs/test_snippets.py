"""Every Python and shell block of README and docs runs, and prints what its page says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .snippets import RUN, WRITTEN, Block, blocks

ROOT = Path(__file__).resolve().parents[2]
# Run elsewhere: conformance by tests/verify/test_examples.py, findings by docs/examples/page_code.py.
ELSEWHERE = {"docs/conformance.md", "docs/findings.md", "docs/gpu.md"}
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if str(page.relative_to(ROOT)) not in ELSEWHERE and any(block.runs for block in blocks(page))
]
TOOLS = {"cc": "a C compiler", "node": "node"}


def missing(block: Block) -> str | None:
    """What a block needs and this machine lacks."""
    if block.needs and importlib.util.find_spec(block.needs) is None:
        return block.needs
    if block.language == "sh":
        return next((what for tool, what in TOOLS.items() if f"{tool} " in block.code and not shutil.which(tool)), None)
    return None


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "ignore", "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LEAKYSM_CACHE": str(folder / "cache"),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles faster
    }
    return subprocess.run(
        [*words, block.code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    lacking = []
    for block in blocks(page):
        if block.title and block.language in WRITTEN:
            (tmp_path / block.title).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.title).write_text(block.code)
        if not block.runs:
            continue
        if lack := missing(block):
            lacking.append(f"line {block.line} needs {lack}")
            continue
        done = run(block, tmp_path)
        assert done.returncode == 0, f"{page.name}, line {block.line}:\n{block.code}\n{done.stdout}{done.stderr}"
        if block.printed is not None:
            assert done.stdout == block.printed, f"{page.name}, line {block.line}"
    if lacking:
        pytest.skip("; ".join(lacking))


def test_every_block_names_a_language_that_the_site_knows() -> None:
    known = {*RUN, "text", "toml", "yaml", "bibtex"}
    for page in PAGES:
        assert {block.language for block in blocks(page)} <= known, page
