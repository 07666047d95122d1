"""--convolution: a run keeps it, a resumed run uses it again, and where it does not apply one line says so."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import leakysm as lk
from leakysm.errors import UserError
from leakysm.runs import RunFolder, resolve
from leakysm.runs.device import engine_of

Leakysm = Callable[..., Result]
Fails = Callable[..., str]


def test_a_run_keeps_its_convolution(leakysm: Leakysm, fails: Fails, tiny: list[str]) -> None:
    quick = (*tiny, "--episodes", "2", "--channels", "16", "--convolution", "winograd")
    assert leakysm("train", *quick, "--out", "run").exit_code == 0
    assert tomllib.loads(Path("run/config.toml").read_text())["convolution"] == "winograd"
    stored, _ = resolve({}, folder=RunFolder(Path("run")))
    assert engine_of(stored).convolution == "winograd"
    told = fails("train", "--out", "run", "--resume", "--convolution", "direct")
    assert "convolution is 'winograd' in the run to resume, but 'direct' is given; leave convolution out" in told
    audited = leakysm("audit", "run", "--episodes", "2", "--threads", "1")  # trained again, on a given engine
    assert "the same to the bit" in audited.output


def test_a_run_that_names_none_is_direct(leakysm: Leakysm, fails: Fails, run: Path) -> None:
    assert "convolution" not in (run / "config.toml").read_text()
    stored, _ = resolve({}, folder=RunFolder(run))
    assert engine_of(stored).convolution == "direct"
    assert leakysm("train", "--out", "run", "--resume", "--convolution", "direct").exit_code == 0
    told = fails("train", "--out", "run", "--resume", "--convolution", "winograd")
    assert "convolution is 'direct' in the run to resume, but 'winograd' is given" in told


def test_a_sweep_that_varies_it_takes_no_option(fails: Fails) -> None:
    Path("sweep.toml").write_text('[grid]\nconvolution = ["direct", "winograd"]\n')
    told = fails("sweep", "sweep.toml", "--convolution", "winograd")
    assert "--convolution is given, but sweep.toml varies convolution; leave one of the two out" in told


def test_the_option_of_a_sweep_is_that_of_all_its_runs(leakysm: Leakysm, pictures: Path) -> None:
    data = f'dataset = "folder"\ndata = "{pictures}"\nepisodes = 3\nquery = 2\n'
    Path("sweep.toml").write_text(f"{data}[grid]\nseed = [0, 1]\n")
    result = leakysm("sweep", "sweep.toml", "--convolution", "winograd", "--dry-run")
    assert result.exit_code == 0, result.output
    assert 'convolution = "winograd"' in result.stdout


@pytest.mark.parametrize(
    ("name", "convolution", "told"),
    [
        ("reference", "winograd", "convolution is winograd, but the backend is reference; leave it out, or choose"),
        ("numpy", "winogard", "convolution is 'winogard'; did you mean 'winograd'"),
    ],
)
def test_an_engine_that_has_no_such_convolution(name: str, convolution: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        lk.backend(name, convolution=convolution)
