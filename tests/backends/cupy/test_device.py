"""How launches become a CUDA graph, shown with a stand-in for CuPy that keeps what must have happened before what."""

from __future__ import annotations

import gc
import weakref
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
        self.ptr = id(self)
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


def fake_runtime(timeline, streams):
    """The bare copy, the only one that can be captured."""
    copies = []

    def copy(to, source, size, kind, stream):
        copies.append((to, source, size, kind))
        timeline.do(next(s for s in streams if s.ptr == stream), kind)

    return SimpleNamespace(memcpyAsync=copy, memcpyHostToDevice="upload", memcpyDeviceToHost="download", copies=copies)


class Array:
    """Something that can be told to be gone."""


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

    streams.append(FakeStream(timeline))  # the caller's own, the current one
    runtime = fake_runtime(timeline, streams)
    cuda = SimpleNamespace(Stream=stream, runtime=runtime, get_current_stream=lambda: streams[0])
    made = CudaKernels(SimpleNamespace(RawModule=module, cuda=cuda))
    made.streams, made.runtime = streams, runtime
    return made


HOST_IN, HOST_OUT = np.zeros(3), np.zeros(5, "float32")


def program(kernels, launches, kept=None):
    ends = [(SimpleNamespace(data=SimpleNamespace(ptr=p)), host) for p, host in ((64, HOST_IN), (128, HOST_OUT))]
    made = [Launch("total<float>", (1,), (1,), (tag, kept), beside, joins) for tag, beside, joins in launches]
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
    program(kernels, LAUNCHES)
    before = timeline.before
    assert before["a"] == {"upload"}
    assert before["b beside"] == {"upload", "a"}
    assert before["c beside"] == {"upload", "a", "b beside"}
    assert before["d"] == {"upload", "a"}
    assert before["e beside"] == {"upload", "a", "d", "b beside", "c beside"}
    assert before["f"] == {"upload", *(tag for tag, *_ in LAUNCHES[:5])}
    assert before["download"] == {"upload", *(tag for tag, *_ in LAUNCHES)}


def test_a_call_waits_for_the_caller_launches_the_graph_once_and_waits(kernels):
    run = program(kernels, LAUNCHES)
    callers, main, _ = kernels.streams
    assert main.log == ["begin", "end"]
    callers.done.add("the caller's work")
    run()
    assert main.log == ["begin", "end", "launch", "synchronize"]
    assert "the caller's work" in main.done


def test_what_is_copied(kernels):
    program(kernels, LAUNCHES)
    up, down = kernels.runtime.copies
    assert up == (64, HOST_IN.ctypes.data, 24, "upload")
    assert down == (HOST_OUT.ctypes.data, 128, 20, "download")


def test_a_program_keeps_the_arrays_that_it_works_on(kernels):
    """A graph knows addresses alone: an array that went would give its memory to another."""
    array = Array()
    gone = weakref.ref(array)
    run = program(kernels, LAUNCHES, kept=array)
    del array
    gc.collect()
    assert gone() is not None
    run()
    del run
    gc.collect()
    assert gone() is None


def test_a_failed_capture_is_ended_and_told(kernels, timeline):
    timeline.fails_at = "d"
    with pytest.raises(RuntimeError, match="planted"):
        program(kernels, LAUNCHES)
    assert kernels.streams[1].log == ["begin", "end"]


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
