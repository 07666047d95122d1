"""Start-up: the time of a command or an import, each in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from leakysm_benchmarks.turns import Call, comparisons, take_turns


def run(code: str) -> Callable[[], None]:
    """A fresh interpreter that runs `code`."""

    def start() -> None:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

    return start


def compare(
    *,
    vs: Sequence[str] = ("torch",),
    rounds: int = 9,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """`Comparison`s as dictionaries: with importing PyTorch, and with the floor, importing NumPy."""
    commands = {
        "leakysm --help": "import sys; sys.argv = ['leakysm', '--help']; from leakysm_cli.main import main; main()",
        "import leakysm": "import leakysm",
    }
    others = [Call("import numpy", "floor", run("import numpy"))]
    if "torch" in vs and importlib.util.find_spec("torch"):
        others.append(Call("import torch", "peer", run("import torch")))
    results = []
    for name, code in commands.items():
        progress(f"start-up, {name}")
        players = [Call("leakysm", "ours", run(code)), *others]
        times = take_turns(players, [None], rounds=rounds, warm_up=1)
        results += [asdict(comparison) for comparison in comparisons(players, times, name)]
    return results
