"""How launches become a CUDA graph, shown with a stand-in for CuPy that keeps what must have happened before what."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from leakysm.backends.cupy import compiler
from leakysm.backends.cupy.device import CudaKernels
from leakysm.backends.cupy.kernels import Launch, compile_options, instances, source


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


class FakeDevice:
    """Devices of which one is current."""

    current = 0
    compute_capability = "90"

    def __init__(self, number=None):
        self.id = FakeDevice.current if number is None else number

    def use(self):
        FakeDevice.current = self.id


class FakeFunction:
    """A loaded kernel; its name stands for its address."""

    def __init__(self, lowered, launched):
        self.ptr, self.launched = lowered, launched

    def __call__(self, grid, block, arguments):
        self.launched(arguments)


def fake_cupy(launched, compiled=None, **cuda):
    """The parts of CuPy that compile, load and launch. launched(arguments) is called for each launch."""

    class Module:
        def load(self, cubin):
            self.cubin = cubin

        def get_function(self, lowered):
            assert self.cubin == b"code"
            assert lowered.startswith("_Z")
            return FakeFunction(lowered, launched)

    def compile_using_nvrtc(text, options, name_expressions):
        if compiled is not None:
            compiled.append((text, options, name_expressions, FakeDevice.current))
        return b"code", {name: "_Z" + name for name in name_expressions}

    compiler = SimpleNamespace(compile_using_nvrtc=compile_using_nvrtc, CompileException=ZeroDivisionError)
    cuda = SimpleNamespace(
        Device=FakeDevice,
        compiler=compiler,
        function=SimpleNamespace(Module=Module),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
        **cuda,
    )
    return SimpleNamespace(__version__="14.2.0", cuda=cuda)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(FakeDevice, "current", 0)
    return tmp_path / "cache"


@pytest.fixture
def kernels(timeline):
    streams = []

    def stream(non_blocking=False):
        assert non_blocking
        streams.append(FakeStream(timeline))
        return streams[-1]

    streams.append(FakeStream(timeline))  # the caller's own, the current one
    runtime = fake_runtime(timeline, streams)
    cuda = {"Stream": stream, "runtime": runtime, "get_current_stream": lambda: streams[0]}
    made = CudaKernels(fake_cupy(lambda arguments: timeline.do(timeline.current, arguments[0]), **cuda))
    made.streams, made.runtime = streams, runtime
    return made


HOST_IN, HOST_OUT = np.zeros(3), np.zeros(5, "float32")


def program(kernels, launches, kept=None):
    ends = [(SimpleNamespace(data=SimpleNamespace(ptr=p)), host) for p, host in ((64, HOST_IN), (128, HOST_OUT))]
    made = [Launch("total", (1,), (1,), (tag, kept), beside, joins) for tag, beside, joins in launches]
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


def test_a_null_pointer_and_numbers_have_the_size_that_kernels_expect():
    seen = []
    kernels = CudaKernels(fake_cupy(seen.extend))
    kernels.launch("total", (1,), 256, None, 3, 2.0, np.float64(0.5), np.uint8(1))
    expected = [(np.uint64, 0), (np.int32, 3), (np.float32, 2), (np.float32, 0.5), (np.uint8, 1)]
    assert [(type(a), a) for a in seen] == expected


def test_kernels_are_compiled_once_when_needed_and_without_flushing_small_numbers(cache):
    compiled = []
    kernels = CudaKernels(fake_cupy(lambda _: None, compiled))
    for name in ("total", "total", "summarise", "distances<SQUARED>", "distances<COSINE>"):
        kernels.launch(name, (1,), 256)
    assert [names for _, _, names, _ in compiled] == [
        tuple(instances("FLOAT32")["loss.cu"]),
        ("distances<SQUARED>",),
        ("distances<COSINE>",),
    ]
    text, options, _, _ = compiled[0]
    assert text == source("loss.cu")
    assert options == compile_options()
    assert not any("ftz" in option or "fast" in option for option in options)


def test_compiled_kernels_are_kept_on_disk(cache):
    compiled = []
    for _ in range(2):
        CudaKernels(fake_cupy(lambda _: None, compiled)).compiler.load(["total", "pool"])
    assert len(compiled) == 2
    assert len(list(cache.glob("leakysm-*.bin"))) == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]\ncode", b"not JSON\ncode", b'{"name": "a", "sha256": "0"}\ncode'])
def test_a_damaged_file_is_compiled_anew(cache, damage):
    compiled = []
    CudaKernels(fake_cupy(lambda _: None, compiled)).compiler.load(["total"])
    (kept,) = cache.glob("leakysm-*.bin")
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    CudaKernels(fake_cupy(lambda _: None, compiled)).compiler.load(["total"])
    assert len(compiled) == 2
    assert kept.read_bytes() == whole


def test_a_folder_that_cannot_be_written_does_no_harm(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "file" / "cache"))
    CudaKernels(fake_cupy(lambda _: None)).launch("total", (1,), 256)


def test_compiling_is_told_once_and_happens_on_the_engines_device(cache, monkeypatch):
    compiled, told = [], []
    monkeypatch.setattr(compiler, "tell_terminal", told.append)
    kernels = CudaKernels(fake_cupy(lambda _: None, compiled), 3)
    kernels.told(kernels.compiler.load)(["turn_kernel", "sum_slices", "unit_rows"])
    assert [device for *_, device in compiled] == [3, 3]
    assert told == ["compiling 3 kernels for the GPU: once for this version and device"]
    kernels.compiler.load(["turn_kernel"])
    assert len(told) == 1


def test_two_engines_on_two_devices(cache):
    """Each call is on the engine's own device, whatever was called before."""
    seen = []
    first, second = (CudaKernels(fake_cupy(lambda _: seen.append(FakeDevice.current)), n) for n in (0, 1))
    for kernels in (first, second, first, second):
        kernels.told(kernels.launch)("total", (1,), 256)
    assert seen == [0, 1, 0, 1]


def test_a_program_compiles_what_it_needs_before_it_captures(kernels, timeline):
    program(kernels, LAUNCHES)
    assert set(kernels.compiler.functions) == set(instances("FLOAT32")["loss.cu"])
