"""A process with its imports done, which forks a child for each task: a command then costs no second of imports.

The parent of the children runs nothing else, and has one thread, so that forking it is safe.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0  # of a task, unless it says otherwise
IMPORTED = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "array_api_compat.numpy",
    "encodings.utf_8_sig",
    "pydantic.type_adapter",
    "rich._emoji_codes",
    "rich.live",
    "threadpoolctl",
    "leakysm_cli.before",
    "leakysm_cli.main",
    "leakysm.runs",
    "leakysm.runs.summary_schema",
    "leakysm.data.folder",
    "leakysm.data.omniglot",
    "leakysm.data.miniimagenet_pickles",
    "leakysm.data.split_tables",
    "leakysm.data.within_alphabet",
    "leakysm.exchange.weights",
    "leakysm.experiments.audit",
    "leakysm.experiments.gradients.embeddings",
    "leakysm.experiments.outputs",
    "leakysm.experiments.sweep.run_all",
    "leakysm.experiments.sweep.report",
    "leakysm.backends.cupy.engine",
    "leakysm.backends.numpy.engine",
    "leakysm.backends.reference",
    "leakysm.verify.vectors.make",
    "leakysm.verify.conformance",
    "tests.faults.commands",
    "tests.faults.formats",
    "tests.faults.outcomes",
)


@dataclass(frozen=True)
class Task:
    """A function, as module:name, and its arguments, for a child of its own.

    memory: bytes of address space that the child may take beyond those of the imports; processor: seconds of processor
    time; None: no limit. quick: end without the interpreter's clean-up.
    """

    function: str
    arguments: tuple[Any, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    processor: int | None = None
    quick: bool = False


@dataclass(frozen=True)
class Ended:
    """How a child ended. status: exit status, -N after signal N. processor: seconds. peak: bytes. value: the
    function's, None where it returned none."""

    status: int
    timed_out: bool
    processor: float
    peak: int
    out: str
    err: str
    value: Any


class Warm:
    """The process, from here. One task at a time."""

    def __init__(self, *, preload: Path | None = None) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        environment["MPLBACKEND"] = "agg"
        if preload:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )

    def run(self, task: Task, seconds: float = SECONDS) -> Ended:
        """The task from its beginning to its end; killed after `seconds`."""
        self.start(task)
        return self.wait(seconds)

    def start(self, task: Task) -> int:
        """The child's process id."""
        _send(self._stdin, ("start", task))
        return int(_receive(self._stdout))

    def wait(self, seconds: float = SECONDS) -> Ended:
        """The end of the child that was started; it is killed after `seconds`."""
        _send(self._stdin, ("wait", seconds))
        ended = _receive(self._stdout)
        assert isinstance(ended, Ended)
        return ended

    def ended(self) -> bool:
        """Whether the child that was started is at its end already."""
        _send(self._stdin, ("ended", None))
        return bool(_receive(self._stdout))

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stdin.close()
        self._process.wait(10)
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout


def _send(stream: IO[bytes], message: object) -> None:
    content = pickle.dumps(message)
    stream.write(struct.pack("<q", len(content)) + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    return pickle.loads(_exactly(stream, struct.unpack("<q", _exactly(stream, 8))[0]))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = stream.read(size - len(content))
        if not part:
            raise EOFError("the other process is gone")
        content += part
    return content


class _Child:
    """A forked child, from its parent's side."""

    def __init__(self, pid: int, files: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> None:
        self.pid, self._files = pid, files
        self._descriptor = os.pidfd_open(pid)

    def ended(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def wait(self, seconds: float) -> Ended:
        timed_out = not self.ended(seconds)
        self._end_group()
        _, status, used = os.wait4(self.pid, 0)
        os.close(self._descriptor)
        out, err, value = (self._content(file) for file in self._files)
        return Ended(
            os.waitstatus_to_exitcode(status),
            timed_out,
            used.ru_utime + used.ru_stime,
            used.ru_maxrss * 1024,
            out.decode(errors="backslashreplace"),
            err.decode(errors="backslashreplace"),
            pickle.loads(value) if value else None,
        )

    def _end_group(self) -> None:
        """The child, where it has had its time, and whatever it left behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @staticmethod
    def _content(file: IO[bytes]) -> bytes:
        with file:
            file.seek(0)
            return file.read()


def _serve(stdin: IO[bytes], stdout: IO[bytes]) -> Callable[[], None] | None:
    """Answer until the other side closes. In a child: what it has to do."""
    child: _Child | None = None
    while True:
        try:
            word, what = _receive(stdin)
        except EOFError:
            return None
        if word == "start":
            files = (tempfile.TemporaryFile(), tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
            pid = os.fork()
            if pid == 0:
                return lambda: _run(what, files)
            _wait_for_group(pid)
            child = _Child(pid, files)
            _send(stdout, pid)
        elif child is None:
            raise AssertionError("nothing was started")
        elif word == "ended":
            _send(stdout, child.ended(0))
        else:
            _send(stdout, child.wait(what))


def _wait_for_group(pid: int) -> None:
    """Until the child leads a group of its own, which can be ended without this process."""
    while True:
        try:
            if os.getpgid(pid) == pid:
                return
        except ProcessLookupError:
            return
        time.sleep(0.0005)


def _run(task: Task, files: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> None:
    """In the child: the task, then the end of the process."""
    os.setpgid(0, 0)
    for descriptor, file in ((1, files[0]), (2, files[1])):
        os.dup2(file.fileno(), descriptor)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.environ.update(task.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if task.memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + task.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if task.processor is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (task.processor, task.processor))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code: object = 0
    try:
        module, _, name = task.function.partition(":")
        value = getattr(importlib.import_module(module), name)(*task.arguments)
        if value is not None:
            files[2].write(pickle.dumps(value))
            files[2].flush()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if task.quick:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(code)  # type: ignore[arg-type]


def main() -> None:
    """Import, then fork children for whoever started this process."""
    for module in IMPORTED:
        importlib.import_module(module)
    importlib.import_module("tests.faults.commands").command_line()
    gc.freeze()  # a child's collector then looks at nothing of this process, whose memory stays shared
    task = _serve(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    if task:
        task()


if __name__ == "__main__":
    from tests.faults import warm  # what is sent between the processes is of the module of this name

    warm.main()
