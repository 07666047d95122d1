"""The commands that write, on settings that take a second or less, in a folder that the shim watches."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import typer.main
from PIL import Image

from tests.faults.shim import Fault, Struck, read_plan, use_plan, write_plan
from tests.faults.warm import Ended, Task, Warm

TINY = """
--way 3 --query 1 --episodes 4 --checkpoint-every 2 --test-way 2 --test-query 1 --test-episodes 4 --threads 1
""".split()  # noqa: SIM905
SWEEP = """
dataset = "folder"
way = 3
query = 1
episodes = 2
test_way = 2
test_query = 1
test_episodes = 4
checkpoint_every = 1
[grid]
seed = [0, 1]
"""
RUN_FAILED = "failed: "  # a sweep's line for a run, with or without an error of its own
PICTURE = b"a picture"  # drawing costs more than all the rest, and writes nothing
NO_MANIFEST = "there is no manifest.json"  # of `leakysm audit`
CHANGING = ("timing.csv", "environment.json")  # seconds and the number of threads, which are of one process


def run_words(words: list[str], plan: str | None = None) -> None:
    """`leakysm WORDS` as the installed program runs it, with the shim's plan from here on."""
    from leakysm_cli.main import main

    _spare_time(words)
    typer.main.get_command = lambda app: command_line()
    sys.argv = ["leakysm", *words]
    if plan:
        use_plan(plan)
    main()


@cache
def command_line() -> Any:
    """The program's commands with their options: made once, before any child is forked."""
    from leakysm_cli.main import app

    return MAKE_COMMAND(app)


MAKE_COMMAND = typer.main.get_command


def _spare_time(words: list[str]) -> None:
    """Nothing is drawn; a sweep's workers are forked from here instead of started anew; vectors are read from --data,
    not worked out."""
    from leakysm import plots
    from leakysm.experiments.sweep import pools
    from leakysm.experiments.sweep.worker import begin_worker
    from leakysm.verify.vectors import make, stored
    from leakysm.verify.vectors.checks import check_files

    def forked(jobs: int) -> pools.Pool:
        context = multiprocessing.get_context("fork")
        return pools.Pool(lambda: ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker), jobs)

    plots.png = lambda figure: PICTURE
    pools.local_pool = forked
    if words[0] == "vectors":
        operations = Path(words[words.index("--data") + 1]) / stored.OPERATIONS
        make.operation_groups = lambda: stored.read(operations)
        make.nets.groups = lambda before, *engine: (before, [])
        make.check_files = lambda where: check_files(where, dict.fromkeys((stored.OPERATIONS, stored.NETS), 0))


def write_few_vectors(where: str) -> None:
    """A folder of vectors with a few of the installed cases, and none of a net."""
    from leakysm.verify.vectors import make, stored

    few = stored.read(stored.folder() / stored.OPERATIONS, "relu")
    folder = Path(where)
    folder.mkdir()
    files = {stored.OPERATIONS: few, stored.NETS: {}}
    for name, groups in files.items():
        stored.write(folder / name, groups)
    stored.write_manifest(folder, make.manifest(folder, files, "1.0.0"))


@dataclass(frozen=True)
class Case:
    """One command. words, again: of the first call, and of the one that continues; each is given the case's folder.

    begin: makes what is there before. own: the cache is in that folder, too. sound: words of a command that succeeds
    after every fault, before the command is started again.
    """

    name: str
    words: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    begin: Callable[[Path], None] = lambda place: None
    own: bool = False
    sound: Callable[[Path], list[str]] | None = None


@dataclass(frozen=True)
class Call:
    """How a command ended, and what the shim saw."""

    ended: Ended
    struck: Struck


def _train(place: Path) -> list[str]:
    return ["train", "--dataset", "folder", "--data", str(place / "pictures"), *TINY, "--out", str(place / "here/run")]


def _resume(place: Path) -> list[str]:
    return ["train", "--out", str(place / "here/run"), "--resume"]


def _sweep(place: Path) -> list[str]:
    return ["sweep", str(place / "sweep.toml"), "--out", str(place / "here/sweep"), "--jobs", "1", "--threads", "1"]


def _prepare(place: Path) -> list[str]:
    return ["data", "prepare", "--dataset", "folder", "--data", str(place / "pictures")]


def _make(place: Path) -> list[str]:
    return ["vectors", "make", "--data", str(place / "vectors"), "--out", str(place / "here/vectors")]


def _export(place: Path) -> list[str]:
    return ["export", str(place / "finished"), "--out", str(place / "here/conv4.safetensors")]


def _resize(place: Path) -> list[str]:
    return [*_prepare(place), "--size", "12", "--out", str(place / "here/copy")]


def _resize_again(place: Path) -> list[str]:
    """A copy is there whole or not at all."""
    copy = place / "here/copy"
    return [*_prepare(place)[:-1], str(copy)] if copy.exists() else _resize(place)


def _keep(place: Path) -> list[str]:
    return ["evaluate", str(place / "here/run"), "--way", "3", "--episodes", "3", "--threads", "1", "--keep"]


def _audit(place: Path) -> list[str]:
    return ["audit", str(place / "here/run"), "--episodes", "0"]


def _finished(place: Path) -> None:
    shutil.copytree(place / "finished", place / "here/run")


def _half(place: Path) -> None:
    shutil.copytree(place / "half", place / "here/run")


CASES = {
    case.name: case
    for case in (
        Case("train", _train, lambda place: [*_train(place), "--resume"]),
        Case("resume", _resume, _resume, _half),
        Case("sweep", _sweep, _sweep),
        Case("prepare", _prepare, _prepare, own=True),
        Case("resize", _resize, _resize_again),
        Case("vectors", _make, _make),
        Case("export", _export, _export),
        Case("keep", _keep, _keep, _finished, sound=_audit),
    )
}


class Commands:
    """The commands in `place`, by a process that has the shim. `here` is the folder that the shim watches."""

    def __init__(self, warm: Warm, place: Path) -> None:
        self.warm, self.place, self.here = warm, place, place / "here"
        self._plan = place / "plan"
        self._references: dict[str, dict[str, bytes]] = {}
        self._told: set[str] = set()  # lines on standard error of commands that nothing disturbed
        self.calls: dict[str, int] = {}
        self.peak = 0  # bytes, of all children so far
        _pictures(place / "pictures")
        (place / "sweep.toml").write_text(f'data = "{place / "pictures"}"\n{SWEEP}')
        self._starts()

    def _starts(self) -> None:
        """A few vectors, a finished run, and a run that was killed before its second episode's checkpoint."""
        self.warm.run(Task("tests.faults.commands:write_few_vectors", (str(self.place / "vectors"),)))
        self.clean()
        self.call(_train(self.place))
        shutil.copytree(self.here / "run", self.place / "finished")
        self.clean()
        self.call(_train(self.place), at=4, kind="kill", call="rename", name="checkpoint-")
        shutil.copytree(self.here / "run", self.place / "half")

    def clean(self) -> None:
        """An empty folder `here`."""
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()

    def begin(self, case: Case) -> None:
        """The folder as the command finds it."""
        self.clean()
        case.begin(self.place)

    def call(
        self, words: list[str], *, at: int = 0, kind: str = "nothing", call: str = "", name: str = "", own: bool = False
    ) -> Call:
        """`leakysm WORDS`, in which a call fails. own: with the cache in `here`."""
        write_plan(self._plan, Fault(self.here, at, kind, call, name))
        task = Task("tests.faults.commands:run_words", (words, str(self._plan)), self._environment(own=own))
        ended = self.warm.run(task)
        self.peak = max(self.peak, ended.peak)
        return Call(ended, read_plan(self._plan))

    def _environment(self, *, own: bool) -> dict[str, str]:
        cache = self.here / "cache" if own else self.place / "cache"
        return {"LEAKYSM_CACHE": str(cache), "FAULTS_PLAN": str(self._plan)}

    def start(self, case: Case) -> int:
        """Start the command that continues, without waiting for its end. The process id."""
        write_plan(self._plan, Fault(self.here))
        words = case.again(self.place)
        return self.warm.start(Task("tests.faults.commands:run_words", (words,), self._environment(own=case.own)))

    def first(self, case: Case, **fault: Any) -> Call:
        """The command from its beginning, with the fault."""
        self.begin(case)
        return self.call(case.words(self.place), own=case.own, **fault)

    def cut_off_at(self, case: Case, processor: float) -> bool:
        """Kill the command that continues after that many seconds of processor time. Whether it was still at work."""
        pid = self.start(case)
        while not self.warm.ended():
            if _processor(pid) >= processor:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.001)
        return self.warm.wait().status == -signal.SIGKILL

    def again(self, case: Case) -> Call:
        """The command that continues, without a fault."""
        return self.call(case.again(self.place), own=case.own)

    def content(self) -> dict[str, bytes]:
        """Every file in `here`, by its name, without what no two runs share."""
        files = [path for path in sorted(self.here.rglob("*")) if path.is_file() and path.name not in CHANGING]
        return {str(path.relative_to(self.here)): path.read_bytes() for path in files}

    def reference(self, case: Case) -> dict[str, bytes]:
        """What the command leaves where nothing fails; then `calls` knows how many write-like calls it makes."""
        if case.name not in self._references:
            done = self.first(case)
            assert done.ended.status == 0, done.ended.err
            self._references[case.name] = self.content()
            self._told |= {*done.ended.err.splitlines()}
            self.calls[case.name] = done.struck.calls
        return self._references[case.name]

    def lost(self, case: Case, at: int, kind: str, *, call: str = "", name: str = "") -> str | None:
        """What a fault at that call breaks, in one line; None where all promises hold."""
        expected = self.reference(case)
        done = self.first(case, at=at, kind=kind, call=call, name=name)
        where = f"{case.name}, {kind} at call {at} ({done.struck.call} {Path(done.struck.path).name})"
        if not done.struck.call:
            raise IndexError(f"{where}: there is no such call")
        broken = [self._ended_badly(done.ended, killed=kind == "kill")]
        broken.append(self.unsound(case))
        after = self.again(case).ended
        if after.status != 0:
            broken.append(f"the next run fails: {_last(after.err)}")
        broken.append(self.other(expected))
        told = "; ".join(text for text in broken if text)
        return f"{where}: {told}" if told else None

    def unsound(self, case: Case) -> str:
        """What is wrong with the files after a fault, before the command is started again; empty if nothing is."""
        if not case.sound:
            return ""
        ended = self.call(case.sound(self.place)).ended
        sound = ended.status == 0 and NO_MANIFEST not in ended.out
        return "" if sound else f"what is there is not sound: {_last(ended.out + ended.err)}"

    def other(self, expected: dict[str, bytes]) -> str:
        """What differs from the content that is expected; empty if nothing does."""
        found = self.content()
        more = [f"the next run leaves {name}" for name in sorted(found.keys() - expected.keys())[:1]]
        other = [name for name in expected if found.get(name) != expected[name]]
        return "; ".join([*more, *[f"the next run ends with another {name}" for name in other[:1]]])

    def _ended_badly(self, ended: Ended, *, killed: bool) -> str | None:
        if ended.timed_out:
            return "hangs"
        if killed and ended.status == -9:
            return None
        if ended.status < 0:
            return f"ends by signal {-ended.status}"
        if "Traceback" in ended.err or "Exception ignored" in ended.err:
            return f"traceback: {_last(ended.err)}"
        lines = [line for line in ended.err.splitlines() if line not in self._told]
        own = [line for line in lines if not line.startswith(RUN_FAILED)]
        if ended.status > 0 and (len(own) > 1 or not lines):
            return f"{len(own)} lines of error: {own[:3]}"
        return None


def _processor(pid: int) -> float:
    """Seconds of processor time that a process and its children took so far."""
    total = 0.0
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it is gone
            total += int((thread / "schedstat").read_text().split()[0]) / 1e9
            total += sum(_processor(int(child)) for child in (thread / "children").read_text().split())
    return total


def _last(text: str) -> str:
    return text.strip().splitlines()[-1][:300] if text.strip() else "(nothing on standard error)"


def _pictures(root: Path) -> None:
    """<split>/<class>/<image>.png: 3 classes of 2 images 16x16 for train, val and test."""
    rng = np.random.default_rng(1)
    for split in ("train", "val", "test"):
        for k in range(3):
            folder = root / split / f"{split}{k}"
            folder.mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 256, (16, 16)).astype(np.uint8)).save(folder / f"{i}.png")
    os.utime(root)
