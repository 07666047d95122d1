"""Our kernels on a CUDA device, through CuPy: compiled by nvrtc, launched one by one or as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from leakysm.backends.cupy.kernels import FOLDER, Kernels, Launch, compile_options, instances


class CudaKernels(Kernels):
    """Kernels on the current CUDA device, compiled at first use by nvrtc and kept in CuPy's cache on disk."""

    def __init__(self, cupy: Any, *, products: str = "ORDINARY") -> None:
        self.xp = cupy
        self.products = products
        self.names = instances(products)
        self.files = {name: file for file, names in self.names.items() for name in names}
        self.modules: dict[str, Any] = {}
        self.functions: dict[str, Any] = {}

    def module(self, file: str) -> Any:
        """The compiled file."""
        if file not in self.modules:
            self.modules[file] = self.xp.RawModule(
                code=(FOLDER / file).read_text(),
                options=compile_options(),
                name_expressions=self.names[file],
            )
        return self.modules[file]

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def function(self, name: str) -> Any:
        """The loaded kernel."""
        if name not in self.functions:
            self.functions[name] = self.module(self.files[name]).get_function(name)
        return self.functions[name]

    def start(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        null = np.uint64(0)
        self.function(name)(grid, block, tuple(null if a is None else a for a in arguments))

    def host_buffer(self, size: int, dtype: Any) -> np.ndarray:
        import cupyx

        buffer: np.ndarray = cupyx.empty_pinned(size, dtype)
        return buffer

    def program(
        self, launches: list[Launch], given: tuple[Any, np.ndarray], result: tuple[Any, np.ndarray]
    ) -> Callable[[], None]:
        """One CUDA graph, the copies included."""
        for launch in launches:
            self.function(launch.name)  # compiled and loaded now: capture allows neither
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
    """A captured program, to be called. kept: all that it works on, whose memory others would be given if it went."""

    def __init__(self, cuda: Any, stream: Any, graph: Any, *, kept: Any) -> None:
        self.cuda, self.stream, self.graph, self.kept = cuda, stream, graph, kept

    def __call__(self) -> None:
        self.stream.wait_event(self.cuda.get_current_stream().record())
        self.graph.launch(self.stream)
        self.stream.synchronize()
