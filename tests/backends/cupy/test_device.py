"""How launches become a CUDA graph, shown with a stand-in for CuPy that keeps what must have happened before what."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.kernels import FOLDER, Launch, instances


class Timeline:
    """Streams, and for each thing done on one of them everything that is sure to be over by then."""

    def __init__(self):
        self.before: dict[str, set[str]] = {}
        self.current = None
        self.fails_at = None

    def stream(self, non_blocking=False):
        return FakeStream(self)

    def do(self, stream, name):
        if name == self.fails_at:
            raise RuntimeError("planted")
        self.before[name] = set(stream.done)
        stream.done.add(name)


class FakeStream:
    def __init__(self, timeline):
        self.timeline = timeline
        self.done: set[str] = set()
        self.log: list[str] = []

    def record(self):
        return set(self.done)

    def wait_event(self, event):
        self.done |= event

    def begin_capture(self):
        self.log.append("begin")

    def end_capture(self):
        self.log.append("end")
        return SimpleNamespace(launch=lambda stream: stream.log.append("launch"))

    def synchronize(self):
        self.log.append("synchronize")

    def __enter__(self):
        self.timeline.current = self

    def __exit__(self, *_):
        self.timeline.current = None


class Memory:
    """The pointer of a device array."""

    ptr = 64

    def __init__(self, timeline, name):
        self.timeline, self.name = timeline, name

    def copy_from_host_async(self, address, size, stream):
        self.timeline.do(stream, self.name)

    copy_to_host_async = copy_from_host_async


@pytest.fixture
def timeline():
    return Timeline()


@pytest.fixture
def kernels(timeline):
    def module(code, options, name_expressions):
        def function(name):
            assert name in name_expressions
            return lambda grid, block, arguments: timeline.do(timeline.current, arguments[0])

        return SimpleNamespace(get_function=function)

    streams = []

    def stream(non_blocking=False):
        assert non_blocking
        streams.append(FakeStream(timeline))
        return streams[-1]

    stream.null = FakeStream(timeline)
    made = CudaKernels(SimpleNamespace(RawModule=module, cuda=SimpleNamespace(Stream=stream)))
    made.streams = streams
    return made


def program(kernels, timeline, launches):
    ends = [(SimpleNamespace(data=Memory(timeline, name)), np.zeros(1)) for name in ("upload", "download")]
    made = [Launch("total<float>", (1,), (1,), (tag,), beside, joins) for tag, beside, joins in launches]
    return kernels.program(made, *ends)


LAUNCHES = [
    ("a", False, False),
    ("b beside", True, False),
    ("c beside", True, False),
    ("d", False, False),
    ("e beside", True, False),
    ("f", False, True),
    ("g beside", True, False),
]


def test_dependencies_of_a_graph(kernels, timeline):
    """Main line in order; beside it only after what came before; joined where asked for, and at the end."""
    program(kernels, timeline, LAUNCHES)
    before = timeline.before
    assert before["a"] == {"upload"}
    assert before["b beside"] == {"upload", "a"}
    assert before["c beside"] == {"upload", "a", "b beside"}
    assert before["d"] == {"upload", "a"}
    assert before["e beside"] == {"upload", "a", "d", "b beside", "c beside"}
    assert before["f"] == {"upload", *(tag for tag, *_ in LAUNCHES[:5])}
    assert before["download"] == {"upload", *(tag for tag, *_ in LAUNCHES)}


def test_a_call_launches_the_graph_once_and_waits(kernels, timeline):
    run = program(kernels, timeline, LAUNCHES)
    assert kernels.streams[0].log == ["begin", "end"]
    run()
    assert kernels.streams[0].log == ["begin", "end", "launch", "synchronize"]


def test_a_failed_capture_is_ended_and_told(kernels, timeline):
    timeline.fails_at = "d"
    with pytest.raises(RuntimeError, match="planted"):
        program(kernels, timeline, LAUNCHES)
    assert kernels.streams[0].log == ["begin", "end"]


def test_a_null_pointer_and_whole_numbers_have_the_size_that_kernels_expect(timeline):
    seen = []
    module = SimpleNamespace(get_function=lambda name: lambda grid, block, arguments: seen.extend(arguments))
    kernels = CudaKernels(SimpleNamespace(RawModule=lambda **_: module))
    kernels.launch("total<float>", (1,), 256, None, 3, np.float32(2))
    assert [(type(a), a) for a in seen] == [(np.uint64, 0), (np.int32, 3), (np.float32, 2)]


def test_a_file_is_compiled_once_with_all_its_kernels():
    compiled = []

    def module(**given):
        compiled.append(given)
        return SimpleNamespace(get_function=lambda name: lambda *_: None)

    kernels = CudaKernels(SimpleNamespace(RawModule=module))
    for name in ("total<float>", "total<double>", "summarise<float>"):
        kernels.launch(name, (1,), 256)
    assert len(compiled) == 1
    assert compiled[0]["name_expressions"] == instances("ORDINARY")["loss.cu"]
    assert compiled[0]["code"] == (FOLDER / "loss.cu").read_text()
    assert f"-I{FOLDER}" in compiled[0]["options"]
