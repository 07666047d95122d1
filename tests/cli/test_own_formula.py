"""A distance from somebody's own file: through every command, kept with the run, and never run unasked."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from leakysm.errors import UserError
from leakysm.exchange import safetensors
from leakysm.experiments.sweep.file import read_sweep
from leakysm.experiments.sweep.points import points
from leakysm.runs import RunFolder, resolve
from leakysm.runs.checkpoint import load_checkpoint, save_checkpoint

Leakysm = Callable[..., Result]
Fails = Callable[..., str]

SOFT = """import leakysm as lk
class Soft(lk.Restriction):
    scale: float = 1.0
    def value(self, xp, d): return self.scale * xp.log1p(d / self.scale)
    def derivative(self, xp, d): return 1 / (1 + d / self.scale)
"""
WRONG = SOFT.replace("return 1 /", "return 2 /")
MINE = """import leakysm as lk
class Mine(lk.Metric):
    weight: float = 0.5
    def __call__(self, x, c):
        return self.weight * ((x[:, None] - c[None]) ** 2).sum(axis=-1)
    def vjp(self, x, c, dy):
        g = 2 * self.weight * dy[:, :, None] * (x[:, None] - c[None])
        return g.sum(axis=1), -g.sum(axis=0)
"""
WRONG_MINE = MINE.replace("2 * self", "self")
NAMED = "my_formula.py:Soft"


@pytest.fixture(autouse=True)
def formula(elsewhere: Path) -> Path:
    """my_formula.py in the working directory."""
    file = elsewhere / "my_formula.py"
    file.write_text(SOFT)
    return file


@pytest.fixture(scope="session")
def soft_run(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with it. To look at, not to touch."""
    from leakysm_cli.main import app
    from typer.testing import CliRunner

    folder = tmp_path_factory.mktemp("soft")
    (folder / "my_formula.py").write_text(SOFT)
    words = ["train", *tiny, "--distance", f"{folder}/{NAMED}", "--set", "scale=4", "--out", str(folder / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEAKYSM_CACHE", str(folder / ".cache"))
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Soft scale=4.0 per=pair" in result.stdout
    return folder / "run"


@pytest.fixture
def run(soft_run: Path, elsewhere: Path) -> Path:
    """A copy of it: the folder `run` in the working directory."""
    return shutil.copytree(soft_run, elsewhere / "run")


def passes(leakysm: Leakysm, *words: object) -> str:
    result = leakysm(*map(str, words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_file_of_four_lines_goes_through_every_command(leakysm: Leakysm, tiny: list[str], pictures: Path) -> None:
    told = passes(leakysm, "verify", "--distance", NAMED)
    assert "derivative  right at" in told
    assert "rises everywhere" in told
    data, shape = tiny[:4], ["--way", "2", "--query", "1", "--device", "cpu"]
    told = passes(
        leakysm, "gradients", *data, *shape, "--distance", NAMED, "--steps", 1, "--seeds", 1, "--out", "early"
    )
    assert f"{NAMED},scale=1" in told
    few = [*data, *shape, "--episodes", 1, "--test-way", 2, "--test-query", 1, "--test-episodes", 2]
    passes(leakysm, "train", *few, "--distance", NAMED, "--set", "scale=2", "--out", "run")
    support = pictures / "test"
    told = passes(leakysm, "predict", "run", support / "test0" / "0.png", "--support", support, "--trust")
    assert "test0" in told
    told = passes(leakysm, "predict", "run", support / "test0" / "0.png", "--support", support, "--distance", "root")
    assert "test0" in told  # and the code of the run was not asked for
    table = passes(leakysm, "compare", *few, "--distance", NAMED, "--set", "scale=2", "--seeds", 1, "--out", "compared")
    assert "squared-euclidean" in table
    assert f"{NAMED},scale=2" in table
    assert (Path("compared") / "my_formula.py-Soft-scale=2" / "seed-0" / "formula.py").read_text() == SOFT


def test_the_run_keeps_the_text_and_its_digest(run: Path, leakysm: Leakysm) -> None:
    folder = RunFolder(run)
    config = folder.require_config()
    assert folder.formula.read_text() == SOFT
    assert config.distance == NAMED
    assert config.set == (("scale", 4.0),)
    assert config.formula == config.own.digest
    assert folder.checkpoint(folder.best, config).config == folder.config.read_text()
    assert json.loads(folder.manifest.read_text())["files"]["formula.py"] == config.formula
    assert json.loads(folder.summary.read_text())["distance"] == {"name": NAMED, "per": "pair", "scale": 4.0}
    assert "text of the distance's file: in the metadata, as formula" in passes(leakysm, "export", run)
    _, about = safetensors.load((run / "conv4.safetensors").read_bytes(), "it")
    assert about["formula"] == SOFT
    assert f'formula = "{config.formula}"' in about["config"]
    assert "no place for it" in passes(leakysm, "export", run, "--out", "net.npz")


def test_a_dry_run_prints_the_place_of_the_formula(leakysm: Leakysm, tiny: list[str]) -> None:
    """So the file that it prints can be used where the command was typed."""
    Path("sub").mkdir()
    Path("my_formula.py").rename("sub/my_formula.py")
    text = passes(leakysm, "train", *tiny, "--distance", f"sub/{NAMED}", "--dry-run")
    Path("settings.toml").write_text(text)
    again = passes(leakysm, "train", "--config", "settings.toml", "--dry-run")
    assert again.splitlines()[3:] == text.splitlines()[3:]
    assert f'distance = "sub/{NAMED}"' in again.splitlines()


def test_code_from_a_run_is_not_run_unasked(run: Path, leakysm: Leakysm, fails: Fails, pictures: Path) -> None:
    assert "agrees" in passes(leakysm, "audit", run, "--episodes", 0)
    assert "agrees" in passes(leakysm, "audit", run, "--episodes", 1, "--trust")
    told = leakysm("report", str(run))
    assert (told.exit_code, "leakysm: The page shows no test episode: " in told.stderr) == (0, True)
    assert "then add --trust to run it" in told.stderr
    assert "the run's own</option>" not in (run / "report.html").read_text()
    assert leakysm("report", str(run), "--trust").stderr == ""
    assert "Soft scale=4.0: the run&#x27;s own</option>" in (run / "report.html").read_text()
    (run / "summary.json").unlink()
    (run / "manifest.json").unlink()
    picture = str(pictures / "test" / "test0" / "0.png")
    for words in (
        ["evaluate", str(run)],
        ["predict", str(run), picture, "--support", str(pictures / "test")],
        ["train", "--out", str(run), "--resume"],
        ["audit", str(run)],
    ):
        told = fails(*words)
        assert told == f"{run}/formula.py is code that this run's distance needs; read it, then add --trust to run it"
    assert "accuracy" in passes(leakysm, "evaluate", run, "--trust")
    passes(leakysm, "train", "--out", run, "--resume", "--distance", NAMED)  # the same text, named by the user
    assert (run / "summary.json").exists()


def test_another_file_of_that_name_is_not_written_over(fails: Fails, tiny: list[str]) -> None:
    Path("run").mkdir()
    Path("run/formula.py").write_text("# mine")
    told = fails("train", *tiny, "--distance", NAMED, "--out", "run")
    assert told == "run/formula.py exists already and holds something else; give another name, or remove it"
    assert Path("run/formula.py").read_text() == "# mine"


def test_a_text_that_was_changed_is_refused(run: Path, formula: Path, leakysm: Leakysm, fails: Fails) -> None:
    formula.write_text(SOFT + "# changed\n")
    told = fails("train", "--out", str(run), "--resume", "--distance", NAMED)
    assert f"the text of {NAMED} differs from that of the run to resume, which is in formula.py" in told
    formula.write_text(SOFT)
    told = fails("train", "--out", str(run), "--resume", "--distance", NAMED, "--set", "scale=2")
    assert "set is { scale = 4.0 } in the run to resume, but { scale = 2 } is given" in told
    (run / "formula.py").write_text(WRONG)
    for words in (["evaluate"], ["predict", "--support", "."], ["export"], ["compare"]):
        assert "formula.py was altered: its SHA-256 is" in fails(*words, str(run), *["0.png"] * (words[0] == "predict"))

    (run / "formula.py").write_text(WRONG)
    assert "delete it, for a checkpoint holds the text" in fails("evaluate", str(run), "--trust")
    (run / "formula.py").unlink()
    assert "accuracy" in passes(leakysm, "evaluate", run, "--trust")


def test_a_formula_that_falls_is_trained_with_a_warning(tiny: list[str], formula: Path, leakysm: Leakysm) -> None:
    formula.write_text(SOFT.replace("return self", "return -self").replace("return 1", "return -1"))
    result = leakysm("train", *tiny, "--distance", NAMED, "--out", "falls")
    assert result.exit_code == 0
    assert "warning: Soft scale=1.0 falls, e.g. at d = " in result.stderr
    assert f"--distance {Path('falls') / 'formula.py'}:Soft --set per=pair --set scale=1.0" in result.stdout


def test_a_formula_that_changes_its_argument_is_told(tiny: list[str], formula: Path, fails: Fails) -> None:
    formula.write_text(SOFT.replace("return self", "d /= 2; return self"))
    assert fails("train", *tiny, "--distance", NAMED).endswith("changes its argument d; compute a new array")


def rewritten(path: Path, formula: bytes) -> None:
    save_checkpoint(path, replace(load_checkpoint(path), formula=formula))


def test_the_checkpoint_holds_the_text_too(run: Path, leakysm: Leakysm, fails: Fails, pictures: Path) -> None:
    for name in ("formula.py", "manifest.json", "summary.json"):
        (run / name).unlink()
    told = f"{run}/checkpoint-best.h5 holds code that this run's distance needs; read it (leakysm export {run} --out "
    assert fails("evaluate", str(run)) == f"{told}formula.py), then add --trust to run it"
    passes(leakysm, "export", run, "--out", "formula.py")
    assert Path("formula.py").read_text() == SOFT
    assert "accuracy" in passes(leakysm, "evaluate", run, "--trust")
    picture, support = pictures / "test" / "test0" / "0.png", pictures / "test"
    assert "test0" in passes(leakysm, "predict", run, picture, "--support", support, "--trust")
    assert not (run / "formula.py").exists()  # these only read
    passes(leakysm, "train", "--out", run, "--resume", "--trust")
    assert (run / "formula.py").read_text() == SOFT


def test_another_text_in_a_checkpoint_is_refused(run: Path, leakysm: Leakysm, fails: Fails) -> None:
    for name in ("manifest.json", "summary.json"):
        (run / name).unlink()
    rewritten(run / "checkpoint-best.h5", WRONG.encode())
    assert "checkpoint-best.h5 holds another formula than config.toml" in fails("evaluate", str(run), "--trust")
    (run / "formula.py").unlink()
    assert "checkpoint-best.h5 holds another formula: its SHA-256 is" in fails("evaluate", str(run), "--trust")
    for name in ("best", "last"):  # as older versions wrote them
        rewritten(run / f"checkpoint-{name}.h5", b"")
    assert "formula.py does not exist; put back the run's own file" in fails("evaluate", str(run), "--trust")
    (run / "formula.py").write_text(SOFT)
    assert "accuracy" in passes(leakysm, "evaluate", run, "--trust")


@pytest.mark.parametrize("text", [WRONG, WRONG_MINE], ids=["restriction", "metric"])
def test_a_wrong_derivative_is_refused_with_its_counterexample(
    leakysm: Leakysm, fails: Fails, tiny: list[str], formula: Path, text: str
) -> None:
    formula.write_text(text)
    name = "my_formula.py:" + ("Soft" if "Soft" in text else "Mine")
    result = leakysm("verify", "--distance", name)
    assert result.exit_code == 1
    example = {
        "Soft": "at d = 1, where the value is 0.6931471806, it gives 1, but the slope of the value is 0.5",
        "Mine": "dx[0, 0] is 0.5, but the slope of the distances is 1",
    }[name.partition(":")[2]]
    assert example in result.stdout
    Path("grid.toml").write_text(
        f'dataset = "folder"\ndata = "{tiny[3]}"\ndistance = "{name}"\n[grid]\nseed = [0, 1]\n'
    )
    for words in (
        ["train", *tiny, "--distance", name, "--out", "run"],
        ["gradients", *tiny[:4], "--distance", name, "--out", "run"],
        ["compare", *tiny, "--distance", name, "--out", "run"],
        ["sweep", "grid.toml", "--out", "run"],
    ):
        assert example in fails(*words, code=1)
    assert not Path("run").exists()


FAULTS = ["raise RuntimeError('boom')", "raise SystemExit", "raise GeneratorExit"]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_formula_raises_in_use_is_one_line_that_names_it(
    leakysm: Leakysm, fails: Fails, tiny: list[str], fault: str
) -> None:
    Path("m.py").write_text(
        SOFT.replace(
            "def value(self, xp, d): return",
            f"""def value(self, xp, d):
        if d.ndim == 2: {fault}
        return""",
        )
    )
    told = fails("train", *tiny, "--distance", "m.py:Soft", "--out", "run")
    assert told.startswith("m.py:Soft: value raises, in line 5, ")
    assert told.endswith("; correct it")
    Path("grid.toml").write_text(
        f'dataset = "folder"\ndata = "{tiny[3]}"\nepisodes = 1\nway = 2\nquery = 1\ntest_way = 2\n'
        'distance = "m.py:Soft"\n[grid]\nseed = [0, 1]\n'
    )
    swept = leakysm("sweep", "grid.toml", "--out", "swept")
    assert swept.exit_code == 1
    assert f"failed: m.py:Soft,scale=1, seed 1: {told}" in swept.stderr


def test_what_a_formula_prints_is_no_part_of_the_output(leakysm: Leakysm, tiny: list[str], pictures: Path) -> None:
    loud = SOFT.replace("return self", "print('loud'); return self") + "print('imported')\n"
    Path("m.py").write_text(loud)
    few = [*tiny[:4], "--way", 2, "--query", 1, "--episodes", 1, "--test-way", 2, "--test-query", 1]
    few += ["--test-episodes", 2]
    told = passes(leakysm, "train", *few, "--distance", "m.py:Soft", "--out", "run")
    support = pictures / "test"
    for words in (
        ["verify", "--distance", "m.py:Soft"],
        ["evaluate", "run", "--trust"],
        ["audit", "run", "--trust", "--episodes", 1],
        ["predict", "run", support / "test0" / "0.png", "--support", support, "--trust"],
        ["compare", *few, "--setting", "m.py:Soft", "--setting", "log", "--seeds", 1, "--out", "compared"],
    ):
        found = passes(leakysm, *words, "--json")
        assert json.loads(found)
        told += found
    assert "loud" not in told
    assert "imported" not in told


def test_a_loss_that_an_own_formula_may_have_spoilt_is_told_so(fails: Fails, tiny: list[str]) -> None:
    Path("m.py").write_text(SOFT.replace("return self", "return (1 if d.ndim == 1 else xp.nan) * self"))
    told = fails("train", *tiny, "--distance", "m.py:Soft", "--out", "run", code=1)
    assert (
        "the distance Soft scale=1.0 per=pair is your own: correct it if it is the cause, or lower the learni" in told
    )


def test_a_formula_that_ends_the_program_fails_its_check(fails: Fails) -> None:
    Path("m.py").write_text(SOFT.replace("return self", "raise SystemExit  # self"))
    assert fails("verify", "--distance", "m.py:Soft") == "m.py:Soft: value raises, in line 4, SystemExit; correct it"
    Path("m.py").write_text(SOFT + "    def __post_init__(self): raise SystemExit\n")
    assert fails("verify", "--distance", "m.py:Soft") == "distance m.py:Soft: SystemExit; correct its class"


def test_a_whole_metric_trains_and_is_tested(leakysm: Leakysm, tiny: list[str], formula: Path) -> None:
    formula.write_text(MINE)
    passes(leakysm, "train", *tiny, "--distance", "my_formula.py:Mine", "--set", "weight=0.25", "--out", "run")
    assert RunFolder("run").require_config().set == (("weight", 0.25),)
    assert "accuracy" in passes(leakysm, "evaluate", "run", "--trust")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["my_formula.py:Sotf"], "my_formula.py has no class 'Sotf'; did you mean 'Soft'?"),
        (["my_formula.py"], "distance is 'my_formula.py': it names no class; write my_formula.py:CLASS"),
        (["my_formula:Soft"], "distance is 'my_formula:Soft': did you mean 'my_formula.py:Soft'?"),
        (["leaky,threshold=1"], "its parameters stand in it; give leaky alone, and each parameter by its own option"),
        (["absent.py:Soft"], "absent.py does not exist; check the name"),
        (["my_formula.py:lk"], "lk is no subclass of leakysm.Restriction or leakysm.Metric; make it one"),
        (["broken.py:Soft"], "broken.py cannot be imported: ZeroDivisionError: division by zero; correct the file"),
        (["sibling.py:Soft"], "No module named 'my_formula'; it cannot import other files of yours: put what it needs"),
        (["lgo"], "distance is 'lgo': did you mean 'log'?"),
        ([NAMED, "--set", "scael=2"], f"distance {NAMED} has no scael; did you mean 'scale'?"),
        ([NAMED, "--set", "scale=wide"], f"scale of distance {NAMED} is 'wide'; a number is expected: give one"),
        ([NAMED, "--set", "scale=nan"], f"scale of distance {NAMED} is nan; a number is expected: give one"),
        ([NAMED, "--set", "scale"], "--set is 'scale': expected NAME=VALUE, e.g. scale=2"),
        ([NAMED, "--set", "scale=1", "--set", "scale=2"], "--set scale is given twice"),
        ([NAMED, "--threshold", "1"], f"threshold is given, but the distance is {NAMED}; leave it out"),
        (["root", "--threshold", "4"], "but the distance is root; write --set threshold=4"),
        (["root", "--set", "threshold=-1"], "threshold is -1.0; 0 < threshold <= inf is expected"),
        (["leaky", "--slope", "0.5", "--set", "slope=0.1"], "slope is given twice; leave one out"),
        (["cosine", "--set", "scale=1"], "distance cosine has no scale; it has no parameter: leave scale out"),
    ],
)
def test_mistakes_are_told_in_one_line(fails: Fails, words: list[str], told: str) -> None:
    Path("broken.py").write_text("1 / 0")
    Path("sibling.py").write_text("import my_formula")
    assert told in fails("train", "--distance", *words)
    assert not Path("runs").exists()


def test_a_sweep_varies_the_parameters_of_a_formula() -> None:
    file = Path("grid.toml")
    file.write_text(f'distance = "{NAMED}"\nepisodes = 1\n[grid.set]\nscale = [1, 4]\n[[control]]\ndistance = "log"\n')
    found = points(read_sweep(file), {"device": "cpu", "backend": "numpy", "threads": 1})
    assert [point.setting for point in found] == [f"{NAMED},scale=1", f"{NAMED},scale=4", "log,scale=1"]
    assert found[1].folder.startswith("my_formula.py-Soft-scale=4-seed=0-")
    there = pickle.loads(pickle.dumps(found[1].config))  # as a worker process gets it
    assert there == found[1].config
    assert there.metric == found[1].config.metric


def test_a_sweep_says_which_runs_are_of_an_older_text(leakysm: Leakysm, formula: Path) -> None:
    Path("grid.toml").write_text(
        "way = 2\nquery = 2\nepisodes = 2\ntest_way = [2]\ntest_query = 2\ntest_episodes = 2\nthreads = 1\n"
        f'distance = "{formula.name}:Soft"\n[grid]\nseed = [0]\n'
    )
    command = ("sweep", "grid.toml", "--out", "swept", "--jobs", "1", "--device", "cpu")
    assert "has changed" not in leakysm(*command).stderr
    assert "has changed" not in leakysm(*command).stderr
    formula.write_text(formula.read_text() + "# changed\n")
    warning = "leakysm: warning: the text of the formula's file has changed; earlier runs (1) are kept, but not used"
    assert warning in leakysm(*command).stderr
    assert len(list(Path("swept").glob("*/summary.json"))) == 2


def test_a_sweep_tells_files_of_one_name_apart() -> None:
    for folder, more in (("a", ""), ("b", "# other\n")):
        Path(folder).mkdir()
        Path(folder, "s.py").write_text(SOFT + more)
    Path("grid.toml").write_text("episodes = 1\n[grid]\ndistance = ['a/s.py:Soft', 'b/s.py:Soft']\n")
    found = points(read_sweep(Path("grid.toml")), {"device": "cpu", "backend": "numpy", "threads": 1})
    assert [p.setting for p in found] == [f"s.py:Soft,scale=1,formula={p.config.formula[:8]}" for p in found]
    assert len({p.setting for p in found}) == 2


def test_a_parameter_may_be_none_unless_it_is_given(formula: Path, fails: Fails) -> None:
    formula.write_text(SOFT.replace("scale: float = 1.0", "scale: float = 1.0\n    top: float | None = None"))
    config, _ = resolve({"distance": NAMED, "way": 3, "device": "cpu"})
    assert config.set == (("scale", 1.0),)
    assert str(config.metric) == "Soft scale=1.0 top=None per=pair"
    assert resolve({**config.settings()})[0] == config
    config, _ = resolve({"distance": NAMED, "set": {"top": 2}, "way": 3, "device": "cpu"})
    assert config.set == (("scale", 1.0), ("top", 2.0))
    assert fails("verify", "--distance", NAMED, "--set", "top=wide") == (
        f"top of distance {NAMED} is 'wide'; a number is expected: give one"
    )


def test_an_attribute_that_is_no_parameter_is_told(formula: Path, fails: Fails) -> None:
    formula.write_text(SOFT.replace("scale: float = 1.0", "scale = 1.0"))
    assert fails("verify", "--distance", NAMED, "--set", "scale=2") == (
        f"distance {NAMED} has no scale; to make scale of its class one, annotate it there: scale: float = 1.0"
    )


def test_exchanged_arguments_are_told(formula: Path, fails: Fails) -> None:
    formula.write_text(SOFT.replace("(self, xp, d)", "(self, d, xp)").replace("return self", "return d  # self"))
    assert "value returns a value of type module; an array of shape" in fails("verify", "--distance", NAMED)


def test_a_file_of_settings_may_name_it(formula: Path) -> None:
    config, _ = resolve({"distance": NAMED, "set": {"scale": 2}, "per": "coordinate", "way": 3, "device": "cpu"})
    assert str(config.metric) == "Soft scale=2.0 per=coordinate"
    again, _ = resolve({**config.settings()})
    assert again == config
    formula.write_text(WRONG)
    with pytest.raises(UserError, match=r"my_formula\.py has the SHA-256 .* but the formula to use has"):
        resolve({**config.settings()})


def test_parameters_set_by_init_are_told(tiny: list[str], formula: Path, fails: Fails) -> None:
    formula.write_text(
        MINE.replace("    weight: float = 0.5\n", "    def __init__(self, weight=0.5): self.weight = weight\n")
    )
    assert "declare parameters in the class, such as scale: float = 1.0" in fails(
        "train", *tiny, "--distance", "my_formula.py:Mine"
    )


def test_a_similarity_is_told_and_trained_with_a_warning(tiny: list[str], formula: Path, leakysm: Leakysm) -> None:
    formula.write_text(MINE.replace("return self.weight", "return -self.weight").replace("g = 2", "g = -2"))
    told = "direction   not that of a distance: the distance from x = "
    assert told in passes(leakysm, "verify", "--distance", "my_formula.py:Mine")
    result = leakysm("train", *tiny, "--distance", "my_formula.py:Mine", "--out", "run")
    assert "leakysm: warning: the direction of Mine weight=0.5 is not that of a distance" in result.stderr
    formula.write_text(MINE)
    assert "direction   points that coincide are nearest" in passes(
        leakysm, "verify", "--distance", "my_formula.py:Mine"
    )


def test_a_parameter_of_a_distance_is_shown_as_verify_takes_it(fails: Fails) -> None:
    told = fails("verify", "--distance", "leaky", "--threshold", "3")
    assert "there is no option --threshold; did you mean --set threshold=VALUE?" in told
    told = fails("train", "--distance", "my_formula.py:Soft", "--scale", "4")
    assert "there is no option --scale; did you mean --set scale=VALUE?" in told
    assert "did you mean --setting leaky,slope=VALUE?" in fails("compare", "--slope", "0.1")
