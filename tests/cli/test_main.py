"""The command as a whole: light to start, errors in one line, options that are the library's settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from leakysm_cli import main as main_module
from leakysm_cli.main import app
from typer.testing import CliRunner, Result

import leakysm as lk
from tests.cli.commands import commands

Leakysm = Callable[..., Result]


def test_starting_imports_nothing_heavy(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = python(
        "import sys; from typer.testing import CliRunner; from leakysm_cli.main import app\n"
        "for words in (['--help'], ['train', '--help']):\n"
        "    assert 'Train a few-shot classifier' in CliRunner().invoke(app, words).output\n"
        "print(*sorted(m for m in sys.modules if '.' not in m))"
    )
    assert done.returncode == 0, done.stderr
    heavy = {
        "numpy",
        "h5py",
        "matplotlib",
        "PIL",
        "scipy",
        "torch",
        "hypothesis",
        "gmpy2",
        "cupy",
        "jax",
        "dask",
        "pydantic",
        "filelock",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_no_command_shows_the_help(leakysm: Leakysm) -> None:
    result = leakysm()
    assert result.exit_code == 0
    assert "train" in result.output


def test_the_version_is_told(leakysm: Leakysm) -> None:
    import importlib.metadata

    result = leakysm("--version")
    assert (result.exit_code, result.stdout) == (0, f"leakysm {importlib.metadata.version('leakysm')}\n")


COMMANDS = [words for words, _ in commands()]


def test_help_says_what_an_option_takes_and_what_holds_without_it(leakysm: Leakysm) -> None:
    told = " ".join(leakysm("train", "--help").output.split())
    assert "--way <number> Number of classes in a training episode. [default: 60 for omniglot; 30 for" in told
    assert "--norm <running|episode> " in told
    for words, command in commands():
        told = leakysm(*words, "--help").output
        assert not re.search(r"<(int|float|str|bool)[ >]|<list|x>=|\[default: \(|default: None", told), words
        if not hasattr(command, "commands"):  # everyday options come first, rare ones last
            sections = [name for name in re.findall(r"^([A-Z].*):$", told, re.MULTILINE) if name != "Arguments"]
            assert sections[0] == "Options", words
            assert "Rarely needed" not in sections[:-1], words


def test_sub_commands_are_among_the_commands() -> None:
    assert {(), ("train",), ("data",), ("data", "fetch"), ("vectors", "make")} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(("leakysm", *words)))
def test_every_help_has_an_example(leakysm: Leakysm, words: tuple[str, ...]) -> None:
    result = leakysm(*words, "--help")
    assert result.exit_code == 0
    example = f"Example: {' '.join(('leakysm', *words))} "
    assert example in result.output, f"add '{example}...' to the docstring of the command's function in cli"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--wya", "5"], "there is no option --wya; did you mean --way?"),
        (["train", "--lr", "1"], "there is no option --lr; did you mean --learning-rate?"),
        (["trian"], "there is no command 'trian'; did you mean 'train'?"),
        (["data", "fetc"], "there is no command 'fetc'; did you mean 'fetch'?"),
        (["data"], "choose a subcommand: fetch, prepare, info or show"),
        (["train", "--way", "five"], "--way is 'five': give a whole number; see leakysm train --help"),
        (["train", "--slope", "steep"], "--slope is 'steep': give a number"),
        (["compare", "--seeds", "0"], "--seeds is '0': give 1 or more"),
        (["train", "--dataset", "omnigot"], "--dataset is 'omnigot'; did you mean 'omniglot'?"),
        (["train", "--backend", "torch"], "--backend is 'torch'; choose one of"),
        (["train", "extra"], "no such argument is expected"),
        (["evaluate"], "RUN is missing"),
    ],
)
def test_bad_use_is_told_in_one_line(fails: Callable[..., str], arguments: list[str], message: str) -> None:
    told = fails(*arguments)
    assert message in told
    assert "--help" in told


def test_no_value_is_empty(fails: Callable[..., str]) -> None:
    """An empty path would mean the current folder, and other empty values the default."""
    for words, command in commands():
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.is_flag and words:
                name = parameter.opts[0]
                assert f"{name} is empty; give it a value, or leave it out" in fails(*words, name, "")
    assert "RUN is empty; give it a value" in fails("evaluate", "")
    assert "RUN is empty; give it a value" in fails("compare", "runs/a", "")


def test_an_error_of_the_program_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch, leakysm: Leakysm) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("leakysm.runs.environment.environment", broken)
    assert isinstance(leakysm("info").exception, ZeroDivisionError)


def test_a_failed_check_ends_with_1(monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    from leakysm.errors import CheckFailed

    def failed() -> None:
        raise CheckFailed("two\nlines")

    monkeypatch.setattr("leakysm.runs.environment.environment", failed)
    assert fails("info", code=1) == "two lines"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermissionError(13, "Permission denied", "run/config.toml"), 2, "run/config.toml: Permission denied"),
        (OSError(28, "No space left on device"), 1, "the output cannot be written: No space left on device; make room"),
        (OSError(24, "Too many open files", "x.ttf"), 1, "too many files are open; allow more: ulimit -n 1024"),
        (FileNotFoundError(2, "No such file or directory"), 2, "the current folder does not exist any more; change"),
        (MemoryError("Unable to allocate 5 GiB"), 1, "out of memory (Unable to allocate 5 GiB); use a smaller way"),
    ],
)
def test_what_the_system_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str], error: Exception, code: int, message: str
) -> None:
    def refused() -> None:
        raise error

    monkeypatch.setattr("leakysm.runs.environment.environment", refused)
    assert fails("info", code=code).startswith(message)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("words", [("info",), ("--help",), ("vectors", "list")])
def test_an_output_that_is_full_is_told(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", "from leakysm_cli.main import main; main()", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line


def test_a_notebooks_backend_of_matplotlib_does_no_harm(tmp_path: Path) -> None:
    """Jupyter sets it for every command that a cell starts."""
    words = ("data", "show", "--out", str(tmp_path / "a.png"))
    command = [sys.executable, "-c", "from leakysm_cli.main import main; main()", *words]
    named = os.environ | {"MPLBACKEND": "module://nosuch.backend_inline"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=named)
    assert done.returncode == 0, done.stderr


def test_an_output_that_nobody_reads_on_is_silent() -> None:
    command = [sys.executable, "-c", "from leakysm_cli.main import main; main()", "vectors", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""


def parameters_of(command: Any) -> dict[str, Any]:
    """The annotations of a command's function by parameter name."""
    from typing import get_type_hints

    return get_type_hints(command, include_extras=True)


def test_the_options_of_train_are_the_settings_of_a_run() -> None:
    from leakysm_cli.train import train

    from leakysm.choices import SETTINGS
    from leakysm.runs.settings import KEYS

    hints = {name: hint for name, hint in parameters_of(train).items() if name != "return"}
    options, settings = set(hints) - {"config", "out", "resume", "dry_run", "trust"}, set(KEYS) - {"formula", "net"}
    lacking, unknown = sorted(settings - options), sorted(options - settings)
    assert not lacking, f"{lacking}: add an option in cli/options.py, and a parameter of `train` in cli/train.py"
    assert not unknown, f"{unknown}: add to SETTINGS in leakysm/choices.py, and a field in leakysm/runs/settings.py"
    for key, hint in hints.items():
        annotated, option = get_args(hint)
        assert (option.default, *option.param_decls)[0] == "--" + key.replace("_", "-")
        choices = SETTINGS[key].choices if key in SETTINGS and key != "distance" else ()
        assert set(choices) == {c for part in get_args(annotated) for c in get_args(part)} - {int, str}


def test_completion_is_offered() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "leakysm", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"leakysm {lk.__version__}\n"


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_outside_of_every_command_gives_its_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Such a signal may come while the commands are being built, or during an import."""

    def interrupted(**_: Any) -> None:
        main_module.request.number = number
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "listen", lambda answer: None)
    monkeypatch.setattr(main_module, "prepare", lambda: None)
    monkeypatch.setattr(main_module, "app", interrupted)
    monkeypatch.setattr(main_module.request, "number", 0)
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 128 + number


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "foo", "bar"), "foo bar: no such argument is expected; leave it out; see leakysm train --help"),
        (("train", "--resume=3"), "--resume takes no value; write --resume alone"),
    ],
)
def test_what_is_too_much_is_named(words: tuple[str, ...], message: str) -> None:
    assert CliRunner().invoke(app, words).stderr.strip() == f"leakysm: {message}"


CALLBACK = """
import signal, sys, time, weakref
from leakysm_cli.signals import listen
from leakysm_cli.stopping import raise_again, request
class Thing: pass
listen(request.answer)
sys.unraisablehook = raise_again
thing = Thing()
kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
try:
    del thing
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted with", request.status(130))
"""


def test_a_signal_inside_a_callback_of_pythons_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", CALLBACK], capture_output=True, text=True, timeout=50)
    assert done.stdout == "interrupted with 143\n"
    assert done.stderr == ""
