"""The engine that the options --device and --backend name."""

from __future__ import annotations

import importlib.util
import re

from leakysm.backends import Engine
from leakysm.backends import backend as open_backend
from leakysm.errors import UserError, suggestion
from leakysm.runs.settings import TrainConfig, in_full


def choose(device: str | None, backend: str | None) -> tuple[str, str]:
    """(device, backend) in full: "cpu" or "cuda:N", and the device's fastest engine where none is named.

    "auto" and None mean the first GPU if CuPy and a GPU are there, else the CPU. A device that was named is never
    replaced by another. UserError if there is no such device, or the backend does not run on it.
    """
    if device is not None and not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
        meant = "cuda" if device.lower() in ("gpu", "nvidia") else device
        raise UserError(f"device is {device!r}; {suggestion(meant, ('cpu', 'cuda', 'cuda:0', 'auto'))}")
    if device in (None, "auto"):
        device = _auto(backend)
    if device != "cpu":
        from leakysm.backends.cupy.engine import device_number

        device = f"cuda:{device_number(device)}"
    backend = backend or ("numpy" if device == "cpu" else "cupy")
    if (backend == "cupy") != (device != "cpu"):
        fitting = "cuda" if backend == "cupy" else "cpu"
        raise UserError(
            f"backend {backend} does not run on device {device}; choose device {fitting}, or leave backend out"
        )
    if device != "cpu":
        open_backend(backend, device=device)  # reports at once what is missing
    return device, backend


def engine_of(config: TrainConfig) -> Engine:
    """The engine that a configuration names."""
    return open_backend(
        config.backend,
        threads=config.threads,
        device=config.device,
        products=in_full("products", config.products),
    )


def engine_for(device: str | None, backend: str | None, threads: int | None) -> Engine:
    """The engine that options name, completed by `choose`, with its errors."""
    device, backend = choose(device, backend)
    return open_backend(backend, threads=threads, device=device)


def _auto(backend: str | None) -> str:
    if backend == "cupy":
        return "cuda"
    if backend is not None or importlib.util.find_spec("cupy") is None:
        return "cpu"
    try:
        open_backend("cupy")
    except UserError:
        return "cpu"
    return "cuda"
