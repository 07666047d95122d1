"""What a user is told where the GPU cannot be used, shown with stand-ins for CuPy's own errors."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from leakysm.backends.cupy import engine
from leakysm.backends.cupy.failures import told_in_one_line
from leakysm.errors import UserError


class FakeRuntimeError(RuntimeError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class FakeMemoryError(MemoryError):
    pass


class FakeCompileError(Exception):
    pass


def stand_in(count: int | FakeRuntimeError, capability: str = "90") -> SimpleNamespace:
    """The parts of CuPy that opening a device touches."""

    def device_count() -> int:
        if isinstance(count, FakeRuntimeError):
            raise count
        return count

    device = SimpleNamespace(compute_capability=capability, use=lambda: None)
    return SimpleNamespace(
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=FakeRuntimeError),
            driver=SimpleNamespace(CUDADriverError=FakeRuntimeError),
            memory=SimpleNamespace(OutOfMemoryError=FakeMemoryError),
            compiler=SimpleNamespace(CompileException=FakeCompileError),
            Device=lambda number: device,
        )
    )


def message(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_without_cupy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UserError) as error:
        engine.CupyEngine("cuda")
    assert "[cuda12]" in message(error)
    assert "[cuda13]" in message(error)


@pytest.mark.parametrize("count", [0, FakeRuntimeError("insufficient driver", 35), FakeRuntimeError("no device", 100)])
def test_without_a_device_that_is_said(count):
    with pytest.raises(UserError) as error:
        engine.open_device(stand_in(count), 0)
    assert "no CUDA device was found" in message(error)


def test_another_failure_of_the_driver_is_not_called_no_device():
    with pytest.raises(UserError) as error:
        engine.open_device(stand_in(FakeRuntimeError("unknown\nerror", 999)), 0)
    assert "unknown error" in message(error)
    assert "no CUDA device" not in message(error)


def test_a_device_that_is_not_there():
    with pytest.raises(UserError) as error:
        engine.open_device(stand_in(2), 2)
    assert "cuda:2" in message(error)


@pytest.mark.parametrize(
    ("capability", "fits"), [("61", False), ("70", False), ("75", True), ("90", True), ("120", True)]
)
def test_an_old_device_is_refused(capability, fits):
    if fits:
        engine.open_device(stand_in(1, capability), 0)
        return
    with pytest.raises(UserError) as error:
        engine.open_device(stand_in(1, capability), 0)
    assert f"compute capability {capability[0]}.{capability[1]}" in message(error)


@pytest.mark.parametrize("products", ["tf32", "split"])
def test_tensor_cores_need_a_newer_device(monkeypatch, products):
    monkeypatch.setattr(engine, "import_cupy", lambda: stand_in(1, "75"))
    with pytest.raises(UserError) as error:
        engine.CupyEngine("cuda", products=products)
    assert message(error).endswith(
        "8.0 or newer is expected for products on tensor cores: use another GPU, products float32, or --device cpu"
    )


@pytest.mark.parametrize(("device", "number"), [(None, 0), ("cuda", 0), ("auto", 0), ("cuda:3", 3), (1, 1)])
def test_names_of_devices(device, number):
    assert engine.device_number(device) == number


@pytest.mark.parametrize("device", ["cpu", "cuda:", "cuda:-1", "cuda:x", "gpu", -1])
def test_other_names_are_refused(device):
    with pytest.raises(UserError, match="cuda:N"):
        engine.device_number(device)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (FakeMemoryError("Out of memory allocating\n512 bytes"), "out of memory on the device"),
        (FakeRuntimeError("illegal address", 700), "the CUDA device failed"),
        (FakeCompileError("no such architecture"), "cannot be compiled"),
        (RuntimeError("CuPy failed to load libnvrtc.so.13: OSError"), "lacks a library (CuPy failed to load libnvrtc"),
        (RuntimeError("the current stream is capturing"), "the CUDA device failed"),
    ],
)
def test_failures_of_the_device_are_one_line(failure, words):
    def call() -> None:
        raise failure

    with pytest.raises(UserError) as error:
        told_in_one_line(stand_in(1), call)()
    assert words in message(error)


def test_cupy_itself_says_that_there_is_no_device():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if engine.device_count(cupy):
        pytest.skip("there is a CUDA device")
    with pytest.raises(UserError, match="no CUDA device was found"):
        engine.CupyEngine("cuda")
