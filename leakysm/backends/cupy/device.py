"""Our kernels on a CUDA device, through CuPy: launched one by one or as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from leakysm.backends.cupy.compiler import Compiler
from leakysm.backends.cupy.failures import told_in_one_line
from leakysm.backends.cupy.kernels import Kernels, Launch, Tiling, instances


class CudaKernels(Kernels):
    """Kernels on CUDA device number `device`, compiled at first use."""

    def __init__(self, cupy: Any, device: int = 0, *, products: str = "FLOAT32") -> None:
        self.xp = cupy
        self.device = device
        self.products = products
        self.tiling = Tiling()
        self.compiler = Compiler(cupy, instances(products))

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def told(self, call: Callable[..., Any]) -> Callable[..., Any]:
        return told_in_one_line(self.xp, call, self.device)

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        null = np.uint64(0)
        self.compiler.function(name)(grid, block, tuple(null if a is None else a for a in arguments))

    def host_buffer(self, size: int, dtype: Any) -> np.ndarray:
        import cupyx

        buffer: np.ndarray = cupyx.empty_pinned(size, dtype)
        return buffer

    def program(
        self, launches: list[Launch], given: tuple[Any, np.ndarray], result: tuple[Any, np.ndarray]
    ) -> Callable[[], None]:
        """One CUDA graph, the copies included."""
        self.compiler.load(launch.name for launch in launches)  # now: capture allows neither compiling nor loading
        (device_in, host_in), (device_out, host_out) = given, result
        cuda = self.xp.cuda
        runtime = cuda.runtime
        main, side = (cuda.Stream(non_blocking=True) for _ in range(2))
        main.begin_capture()
        try:  # by the bare copy: an array's own methods refuse to be captured
            sizes = host_in.nbytes, runtime.memcpyHostToDevice
            runtime.memcpyAsync(device_in.data.ptr, host_in.ctypes.data, *sizes, main.ptr)
            self._capture(launches, main, side)
            sizes = host_out.nbytes, runtime.memcpyDeviceToHost
            runtime.memcpyAsync(host_out.ctypes.data, device_out.data.ptr, *sizes, main.ptr)
        except BaseException:
            with suppress(Exception):
                main.end_capture()
            raise
        return Graph(cuda, main, main.end_capture(), kept=(launches, given, result))

    def _capture(self, launches: list[Launch], main: Any, side: Any) -> None:
        """Launch on the stream `main`, and on `side` what is beside the main line."""
        apart = False  # has `side` work that main has not waited for?
        for launch in launches:
            if launch.beside:
                side.wait_event(main.record())
            elif launch.joins and apart:
                main.wait_event(side.record())
            apart = launch.beside or (apart and not launch.joins)
            with side if launch.beside else main:
                self.start(launch.name, launch.grid, launch.block, launch.arguments)
        if apart:
            main.wait_event(side.record())


class Graph:
    """A captured program, to be called. kept: all that it works on, so that its memory is not given away."""

    def __init__(self, cuda: Any, stream: Any, graph: Any, *, kept: Any) -> None:
        self.cuda, self.stream, self.graph, self.kept = cuda, stream, graph, kept

    def __call__(self) -> None:
        self.stream.wait_event(self.cuda.get_current_stream().record())
        self.graph.launch(self.stream)
        self.stream.synchronize()
