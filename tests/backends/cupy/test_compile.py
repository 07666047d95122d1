"""Every kernel compiles for real GPUs: by nvcc where it is installed, and by nvrtc, as CuPy does it, where that is."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from io import StringIO

import pytest

from leakysm.backends.cupy.kernels import FOLDER, PRODUCTS, compile_options, instances, source

FILES = sorted(instances("FLOAT32"))
NVCC = shutil.which("nvcc")


def test_every_file_has_instances():
    assert sorted(path.name for path in FOLDER.glob("*.cu")) == FILES


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("file", FILES)
def test_nvcc_compiles(tmp_path, file, architecture):
    """To machine code, without a warning, with nothing spilled to local memory; all for sm_90, some for the others."""
    if NVCC is None:
        pytest.skip("nvcc is not installed: the kernels are not compiled for a GPU")
    names = list(dict.fromkeys(name for products in PRODUCTS for name in instances(products)[file]))
    if architecture == "sm_75":  # no asynchronous copies and no TF32: a few kernels show that the other path compiles
        names = instances("FLOAT32")[file][::5]
    if architecture == "sm_80":
        names = names[::3]
    unit = tmp_path / "unit.cu"
    kept = ", ".join(f"(const void*)&{name}" for name in names)
    unit.write_text(f"{source(file)}extern const void* const kept[] = {{{kept}}};\n")
    command = [NVCC, *compile_options(), f"-arch={architecture}", "-cubin", "-Werror", "all-warnings", "-Xptxas", "-v"]
    done = subprocess.run([*command, "-o", tmp_path / "unit.cubin", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    compiled = done.stderr.count("Compiling entry function")
    assert compiled >= len(names)  # what is no template is always compiled
    assert done.stderr.count(" 0 bytes spill stores") == compiled, done.stderr


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("file", FILES)
def test_nvrtc_compiles(monkeypatch, file, products):
    """By the call that the engine makes: to machine code that keeps everything in registers and in shared memory."""
    if products != "FLOAT32" and file != "convolution.cu":
        pytest.skip("the same kernels as with ordinary products")
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", reason="CuPy is not installed")
    try:
        nvrtc.getVersion()
    except Exception as error:  # CuPy tells a missing library in several ways
        pytest.skip(f"nvrtc is not installed ({error})")
    compiler = importlib.import_module("cupy.cuda.compiler")
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch: ("-arch=sm_90", "cubin"))  # no device
    names, log = instances(products)[file], StringIO()
    options = (*compile_options(), "--ptxas-options=-v")
    code, lowered = compiler.compile_using_nvrtc(source(file), options, name_expressions=tuple(names), log_stream=log)
    assert code.startswith(b"\x7fELF")
    assert sorted(lowered) == sorted(names)
    compiled = log.getvalue().count("Compiling entry function")
    assert compiled >= len(names)
    in_registers = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    assert log.getvalue().count(in_registers) == compiled, log.getvalue()
