"""Sweeps: nothing lost, nothing twice, whoever dies; failures kept apart."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from leakysm.data import load
from leakysm.experiments.finished import is_finished
from leakysm.experiments.sweep.file import SweepFile, read_sweep
from leakysm.experiments.sweep.points import Point, points
from leakysm.experiments.sweep.pools import LocalExecutor, Pool, dask_pool, local_pool
from leakysm.experiments.sweep.report import heat_map, markdown, read_results, to_json
from leakysm.experiments.sweep.run_all import ATTEMPTS, run_all
from leakysm.experiments.sweep.worker import FAILURE, run_one
from leakysm.locks import locked
from leakysm.runs import RunFolder, train
from tests.experiments.command import leakysm, refused

MACHINE = {"device": "cpu", "backend": "numpy", "threads": 1}
SHARED: dict[str, Any] = {"way": 3, "query": 1, "episodes": 2, "norm": "episode"}
SHARED |= {"test_way": (3,), "test_query": 2, "test_episodes": 3}
GRID = {"threshold": [0.0, 5.0], "slope": [0.1, 0.5], "seed": [0, 1]}


class Here(Executor):
    """Runs at once, in this process; `spoilt` may raise instead; without `trains` it only says that it did."""

    def __init__(self, spoilt: Callable[[str], None] = lambda path: None, *, trains: bool = True) -> None:
        self.spoilt = spoilt
        self.trains = trains
        self.handed: list[str] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.handed.append(arguments[1])
        try:
            self.spoilt(arguments[1])
            future.set_result(function(*arguments, **keywords) if self.trains else None)
        except Exception as error:
            future.set_exception(error)
        return future


def runs(**shared: Any) -> list[Point]:
    return points(SweepFile(SHARED | shared, GRID, [{"distance": "euclidean"}]), MACHINE)


def swept(work: list[Point], out: Path, executor: Executor, window: int | None = 2) -> dict[Point, str]:
    return {point: state.status for point, state in run_all(work, out, Pool(lambda: executor, window), print).items()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep. Not to be written to."""
    folder = tmp_path_factory.mktemp("sweep")
    assert set(swept(runs(), folder, Here()).values()) == {"finished"}
    return folder


def test_the_same_call_again_has_nothing_to_do(out: Path) -> None:
    executor = Here()
    assert set(swept(runs(), out, executor).values()) == {"finished"}
    assert executor.handed == []
    assert set(swept(runs(seed=0)[:1], out, executor).values()) == {"finished"}
    more = points(SweepFile(SHARED, GRID, [{"distance": "euclidean"}]), {**MACHINE, "threads": 2})
    assert set(swept(more, out, executor).values()) == {"finished"}
    assert executor.handed == []


def test_a_finished_run_is_left_alone_by_a_worker_too(out: Path) -> None:
    (point, *_) = runs()
    folder = RunFolder(out / point.folder)
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir() if not path.name.startswith(".")}
    assert run_one(point.config, str(folder.path)) is None
    assert run_one(replace(point.config, threads=2), str(folder.path)) is None
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_that_another_sweep_is_at_is_waited_for(tmp_path: Path) -> None:
    (point, *_) = runs()
    results: list[str | None] = []
    worker = Thread(target=lambda: results.append(run_one(point.config, str(tmp_path))))
    with locked(tmp_path / ".lock", wait=False):
        worker.start()
        worker.join(0.5)
        assert worker.is_alive()
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    worker.join(60)
    assert results == [None]
    assert is_finished(tmp_path, point.config)


def test_a_run_begun_with_other_threads_is_the_same_run(tmp_path: Path) -> None:
    (point, *_) = runs()
    RunFolder(tmp_path / point.folder).begin(replace(point.config, threads=2), resume=False)
    assert swept([point], tmp_path, Here()) == {point: "finished"}
    stored = RunFolder(tmp_path / point.folder).stored_config()
    assert stored == replace(point.config, threads=None)


def test_failures_stop_no_other_run_and_are_tried_again(tmp_path: Path) -> None:
    def spoilt(path: str) -> None:
        if "slope=0.5-seed=1" in path:
            raise OSError("the worker's disk\nis gone")

    work = runs()[:4]
    states = run_all(work, tmp_path, Pool(lambda: Here(spoilt), 2), lambda states: None)
    failed = [point for point in work if states[point].status == "failed"]
    assert [(p.config.slope, p.config.seed) for p in failed] == [(0.5, 1)]
    assert all(states[point].error == "OSError: the worker's disk is gone" for point in failed)
    assert all(states[point].status == "finished" for point in set(work) - set(failed))
    again = Here()
    assert set(swept(work, tmp_path, again).values()) == {"finished"}
    assert sorted(again.handed) == sorted(str(tmp_path / point.folder) for point in failed)


def test_a_damaged_run_is_told_and_takes_no_other_with_it(out: Path, tmp_path: Path) -> None:
    first, second, third, *_ = runs()
    for point in (first, second, third):
        shutil.copytree(out / point.folder, tmp_path / point.folder)
    (tmp_path / first.folder / "summary.json").write_text("{")
    (tmp_path / second.folder / "config.toml").write_text("way = ")
    report = read_results(run_all([first, second, third], tmp_path, Pool(Here, 1), lambda states: None), tmp_path)
    assert [state.status for state in report.states.values()] == ["failed", "failed", "finished"]
    assert "summary.json is damaged" in str(report.states[first].error)
    assert "config.toml" in str(report.states[second].error)
    assert list(report.finished) == [third]


def test_a_run_that_fails_says_why_in_its_folder(tmp_path: Path) -> None:
    (point,) = points(SweepFile(SHARED | {"learning_rate": 1e30}, {"seed": [0]}, []), MACHINE)
    error = run_one(point.config, str(tmp_path / "run"))
    assert error is not None
    assert "finite" in error
    assert (tmp_path / "run" / FAILURE).read_text() == f"{error}\n"
    assert swept([point], tmp_path, Here()) == {point: "failed"}


def test_a_worker_that_dies_is_replaced_and_its_run_goes_on(tmp_path: Path) -> None:
    deaths = iter([True, False, True])

    def spoilt(path: str) -> None:
        if next(deaths, False):
            raise BrokenProcessPool("died")

    work = runs()
    opened: list[Here] = []

    def open_one() -> Here:
        opened.append(Here(spoilt, trains=False))
        return opened[-1]

    states = run_all(work, tmp_path, Pool(open_one, 1), lambda states: None)
    assert {state.status for state in states.values()} == {"finished"}
    assert len(opened) == 3
    assert sum(len(one.handed) for one in opened) == len(work) + 2


class Broken(Here):
    """The first run that it is given breaks it; the others never end."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not self.handed:
            future.set_exception(BrokenProcessPool("died"))
        self.handed.append(arguments[1])
        return future


def test_runs_that_were_at_work_beside_one_that_died_go_on_too(tmp_path: Path) -> None:
    work = runs()
    broken, sound = Broken(), Here(trains=False)
    executors = iter([broken, sound])
    states = run_all(work, tmp_path, Pool(lambda: next(executors), 3), lambda states: None)
    assert {state.status for state in states.values()} == {"finished"}
    assert broken.handed == [str(tmp_path / point.folder) for point in work if point.config.seed == 0][:3]
    assert sorted(sound.handed) == sorted(str(tmp_path / point.folder) for point in work)


class BrokenBefore(Here):
    """A worker dies while nobody waits for it: the executor takes no second run."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        if self.handed:
            raise BrokenProcessPool("died")
        self.handed.append(arguments[1])
        return Future()


def test_no_run_is_lost_when_a_broken_executor_refuses_it(tmp_path: Path) -> None:
    work = runs()
    sound = Here(trains=False)
    executors = iter([BrokenBefore(), sound])
    states = run_all(work, tmp_path, Pool(lambda: next(executors), 3), lambda states: None)
    assert {state.status for state in states.values()} == {"finished"}
    assert sorted(sound.handed) == sorted(str(tmp_path / point.folder) for point in work)


def test_every_setting_is_run_before_any_is_run_with_a_second_seed(tmp_path: Path) -> None:
    here = Here(trains=False)
    swept(runs(), tmp_path, here)
    seeds = [path.rpartition("seed=")[2][0] for path in here.handed]
    assert seeds == sorted(seeds)
    assert set(seeds) == {"0", "1"}


def test_a_run_whose_workers_always_die_is_given_up_alone(tmp_path: Path) -> None:
    def spoilt(path: str) -> None:
        if "euclidean-seed=1" in path:
            raise BrokenProcessPool("died")

    work = runs()
    states = run_all(work, tmp_path, Pool(lambda: Here(spoilt, trains=False), 1), lambda states: None)
    (failed,) = (point for point in work if states[point].status == "failed")
    assert (failed.config.distance, failed.config.seed) == ("euclidean", 1)
    assert f"died {ATTEMPTS} times" in (states[failed].error or "")


def test_a_scheduler_that_goes_away_is_told(tmp_path: Path) -> None:
    def spoilt(path: str) -> None:
        raise CancelledError

    states = run_all(runs()[:2], tmp_path, Pool(lambda: Here(spoilt), None), lambda states: None)
    assert {state.error for state in states.values()} == {
        "its scheduler is gone; start one, then the same command continues"
    }


def test_the_report_ranks_settings_and_draws_the_map(out: Path) -> None:
    work = runs()
    result = read_results(run_all(work, out, Pool(Here, 1), lambda states: None), out)
    table = to_json(result)
    assert [(run["setting"], run["seed"]) for run in table["runs"]] == [(p.setting, p.config.seed) for p in work]
    assert {run["status"] for run in table["runs"]} == {"finished"}
    for entry in table["settings"]:
        seeds = [run["tests"][0]["accuracy"] for run in table["runs"] if run["setting"] == entry["setting"]]
        assert (entry["seeds"], entry["interval"]) == (2, None)
        assert abs(entry["accuracy"] - sum(seeds) / 2) <= 4 * 2.0**-52 * 100
    means = [entry["accuracy"] for entry in table["settings"]]
    listed = [
        line.split("|")[2].strip() for line in markdown(result).splitlines() if line.startswith(("| leaky", "| eu"))
    ]
    assert listed == [f"{mean:.2f}" for mean in sorted(means, reverse=True)]
    assert (heat_map(result) or b"").startswith(b"\x89PNG")
    alone = {point: state for point, state in result.states.items() if point.config.distance == "euclidean"}
    assert heat_map(read_results(alone, out)) is None


FILE = """
way = 3
query = 1
episodes = {episodes}
checkpoint_every = 10
norm = "episode"
test_way = 3
test_query = 2
test_episodes = 3
[grid]
threshold = [0, 5]
seed = {seeds}
"""


def test_the_command_on_local_processes(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(FILE.format(episodes=2, seeds=[0]) + "[[control]]\nlearning_rate = 1e30\n")
    command = ("sweep", tmp_path / "grid.toml", "--out", tmp_path / "out", "--jobs", 2, "--device", "cpu")
    outcome = leakysm(*command)
    assert outcome.code == 1
    assert outcome.out.splitlines()[-2:] == [str(tmp_path / "out"), "2 runs finished, 2 failed"]
    told = [line.partition(":")[0] for line in outcome.err.splitlines()]
    assert told[:2] == ["folder", "4 runs"]
    assert sorted({*told[2:]} - {"runs"}) == ["failed", "finished"]
    again = json.loads(leakysm(*command, "--json").out)
    assert again == json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert sorted(run["status"] for run in again["runs"]) == ["failed", "failed", "finished", "finished"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[grid]\nthreshhold = [1]\n", "did you mean 'threshold'?"),
        ("[grid]\nslope = [2]\n", "slope holds 2"),
        ("way = 999\n[grid]\nseed = [1]\n", "999"),
    ],
)
def test_a_sweep_that_cannot_begin_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(content)
    assert message in refused("sweep", "bad.toml")
    assert os.listdir() == ["bad.toml"]


def test_bad_use_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(FILE.format(episodes=2, seeds=[0]))
    (tmp_path / "file").write_text("")
    assert "is a file, and a folder is expected" in refused("sweep", tmp_path / "grid.toml", "--out", tmp_path / "file")
    within = tmp_path / "file" / "out"
    assert f"{within}: Not a directory" in refused("sweep", tmp_path / "grid.toml", "--out", within)
    pytest.importorskip("distributed")

    def at(scheduler: str) -> str:
        return refused("sweep", tmp_path / "grid.toml", "--out", tmp_path / "out", "--scheduler", scheduler)

    for nonsense in ("nonsense", "tcp://", "tcp://host", "tcp://host:port", "http://host:80", "tcp://[:1"):
        assert f"address is '{nonsense}'; expected tcp://HOST:PORT" in at(nonsense)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for silent in (f"tcp://127.0.0.1:{port}", "tcp://nohost.invalid:8786"):
        assert f"no Dask scheduler answers at {silent} (" in at(silent)


def until(condition: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    """Look again and again; give up when the process, if there is one, is over, or after ten minutes."""
    for _ in range(30_000):
        if condition():
            return
        assert process is None or process.poll() is None, "it ended before its time"
        Event().wait(0.02)
    raise AssertionError("it never came true")


def rows(out: Path) -> dict[str, int]:
    return {path.parent.name: path.read_bytes().count(b"\n") - 1 for path in out.glob("*/metrics.csv")}


def assert_undisturbed(work: list[Point], out: Path, folder: Path) -> None:
    """Every run's metrics are those of a run that nothing happened to, bit for bit."""
    data = load("strokes")
    for point in work:
        train(point.config, data=data, out=folder / point.folder)
        undisturbed, disturbed = RunFolder(folder / point.folder), RunFolder(out / point.folder)
        assert disturbed.metrics.read_bytes() == undisturbed.metrics.read_bytes()
        assert json.loads(disturbed.summary.read_text()) == json.loads(undisturbed.summary.read_text())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="tells processes by Linux's /proc")
def test_a_local_worker_is_killed(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(FILE.format(episodes=40, seeds=[0]))
    out = tmp_path / "out"
    words = [sys.executable, "-c", "from leakysm_cli.main import main; main()"]
    words += ["sweep", "grid.toml", "--out", "out", "--jobs", "1"]
    with subprocess.Popen([*words, "--device", "cpu"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: max(rows(out).values(), default=0) > 12, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (worker,) = (int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(worker, signal.SIGKILL)
        printed, _ = process.communicate()
    assert printed.splitlines()[-1] == "2 runs finished, 0 failed"
    work = points(read_sweep(tmp_path / "grid.toml"), MACHINE)
    assert rows(out) == {point.folder: 40 for point in work}
    assert_undisturbed(work, out, tmp_path / "again")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A real Dask scheduler and two workers: (address, workers)."""
    pytest.importorskip("distributed")
    dask = [sys.executable, "-m", "dask"]
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"dask-{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen([*dask, *words], cwd=tmp_path, stdout=log, stderr=log))
        return started[-1]

    try:
        file = tmp_path / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        until(file.exists, start("scheduler", *words))
        address = json.loads(file.read_text())["address"]
        options = (
            "--nworkers",
            "1",
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        workers = [start("worker", address, *options) for _ in range(2)]
        yield address, workers
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_dask_worker_is_killed_in_mid_run_and_the_other_is_asked_to_stop(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    episodes = 40
    (tmp_path / "grid.toml").write_text(FILE.format(episodes=episodes, seeds=[0, 1]))
    out = tmp_path / "out"
    disturbed: dict[str, int] = {}
    finished: dict[str, bytes] = {}

    over = Event()

    def watch() -> None:
        while not over.wait(0.02):
            for path in out.glob("*/summary.json"):
                finished.setdefault(path.parent.name, path.with_name("timing.csv").read_bytes())
            at_work = {name: count for name, count in rows(out).items() if 12 < count < episodes}
            if at_work and len(finished) <= 2 and not disturbed:  # more runs are left than one worker has in hand
                disturbed.update(at_work)
                workers[0].kill()

    work = points(read_sweep(tmp_path / "grid.toml"), MACHINE)
    watcher = Thread(target=watch)
    watcher.start()
    try:
        with dask_pool(address) as pool:
            states = run_all(work, out, Pool(pool.opened, pool.window), lambda states: None)
    finally:
        over.set()
        watcher.join()
    assert disturbed, "a worker was killed in mid-run"
    assert {state.status for state in states.values()} == {"finished"}
    assert rows(out) == {point.folder: episodes for point in work}
    # the times of a run are its own: had a finished one been made again, they would have changed
    assert all((out / name / "timing.csv").read_bytes() == timing for name, timing in finished.items())
    assert_undisturbed([point for point in work if point.folder in disturbed], out, tmp_path / "again")
    assert_stopped(address, tmp_path)


def assert_stopped(address: str, tmp_path: Path) -> None:
    """A sweep that would go on for hours stops on the cluster's workers after a step and a checkpoint, and goes on."""
    (tmp_path / "long.toml").write_text(FILE.format(episodes=1_000_000, seeds=[0]))
    work, out = points(read_sweep(tmp_path / "long.toml"), MACHINE), tmp_path / "long"
    reached: list[int] = []
    for _ in range(2):
        more = 5 + max(reached, default=0)
        with dask_pool(address) as pool, pytest.raises(KeyboardInterrupt):
            run_all(work, out, pool, lambda states: None, lambda more=more: max(rows(out).values(), default=0) > more)
        counts = rows(out)
        reached.append(max(counts.values()))
        assert counts == {name: RunFolder(out / name).reached() for name in counts}
    assert 5 < reached[0] < reached[1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="tells processes by Linux's /proc")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_workers_end_with_the_sweep(tmp_path: Path, number: signal.Signals) -> None:
    """A signal to the sweep's process alone, in the midst of runs that would go on for hours: no step is lost."""
    (tmp_path / "grid.toml").write_text(FILE.format(episodes=1_000_000, seeds=[0]))
    # whoever started the tests may have had SIGINT ignored
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    words = [sys.executable, "-c", begin + "from leakysm_cli.main import main; main()"]
    words += ["sweep", "grid.toml", "--out", "out", "--jobs", "2", "--device", "cpu"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len([1 for count in rows(tmp_path / "out").values() if count > 5]) == 2, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) >= 2
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told.endswith("\nStopped. Continue: leakysm sweep grid.toml --out out --jobs 2 --device cpu\n")
    until(lambda: not any(alive(pid) for pid in children))
    for folder, count in rows(tmp_path / "out").items():
        assert RunFolder(tmp_path / "out" / folder).reached() == count > 5


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_ctrl_c_does_not_reach_a_worker_that_is_starting() -> None:
    """Blocked while it imports, then ignored; the signals of this process are as before."""
    with LocalExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        starting = executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
    assert signal.SIGINT in starting
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with local_pool(1).opened() as executor:
        assert signal.SIGINT not in executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
        assert executor.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
