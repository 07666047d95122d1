"""The commands on machines that lack something: a home folder, or locks on files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

Leakysm = Callable[..., Result]


@pytest.mark.usefixtures("without_home")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("info", "none: there is no home folder, and LEAKYSM_CACHE is not set"),
        ("conform theirs.py --operation relu --examples 0", "1 of 1 operations offered: none fails"),
    ],
)
def test_without_a_home_folder_commands_do_without_a_cache(
    words: str, said: str, leakysm: Leakysm, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hypothesis.configuration import set_hypothesis_home_dir

    monkeypatch.setitem(os.environ, "HYPOTHESIS_STORAGE_DIRECTORY", "")
    (elsewhere / "theirs.py").write_text("def relu(x):\n    return x * (x > 0)\n")
    try:
        result = leakysm(*words.split())
    finally:
        set_hypothesis_home_dir(None)
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert {path.name for path in elsewhere.iterdir()} <= {"theirs.py", "__pycache__"}


@pytest.mark.usefixtures("without_home")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train --dataset folder --data ~/x", "~/x needs a home folder, but none is known; give the full path"),
        ("data info --dataset folder --data ~/x", "~/x needs a home folder, but none is known; give the full path"),
        ("train --dataset omniglot", "omniglot needs its files: give the folder that holds them with --data"),
        ("data fetch omniglot", "set LEAKYSM_CACHE to the full path of a folder"),
    ],
)
def test_without_a_home_folder_the_mend_is_told(words: str, told: str, fails: Callable[..., str]) -> None:
    assert told in fails(*words.split())


def test_without_locks_on_files_everything_works(
    leakysm: Leakysm, run: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def without(*_: Any) -> None:
        raise OSError(524, "ENOTSUPP of Linux's NFS")

    monkeypatch.setattr(fcntl, "flock", without)
    np.save("z.npy", np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32))
    for words in (
        f"train --distance euclidean --out other {' '.join(tiny)}",
        f"evaluate {run.name} --episodes 8 --way 3 --keep",
        "evaluate other --episodes 8 --way 3 --keep",
        "compare run other --out compared",
        "gradients --suggest --embeddings z.npy",
        "vectors check --operation relu",
        "export run --out net.npz",
    ):
        result = leakysm(*words.split())
        assert result.exit_code == 0, (words, result.output)
