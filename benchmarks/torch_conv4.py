"""Conv4 in PyTorch: its training step on the CPU or a GPU, and its embedding on the CPU, in the usual forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from leakysm_benchmarks.step_sizes import Size, pixels
from leakysm_benchmarks.turns import Contender

from leakysm.cores import usable_cores
from leakysm.errors import UserError
from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean

try:
    import torch
except ImportError as error:
    raise UserError(f"PyTorch, the peer, cannot be imported ({error}): pip install '.[peers]'") from None

FORMS = ("NCHW", "channels_last", "torch.compile")  # on the CPU
GRAPHS = 'torch.compile(mode="max-autotune")'  # CUDA graphs included
GPU_FORMS = ("channels_last", GRAPHS)
LEARNING_RATE, LEAKY = 1e-3, LeakySquaredEuclidean()


def conv4(channels: int) -> Any:
    """Conv4 as it is usually written in PyTorch."""
    layers: list[Any] = []
    for c in (channels, 64, 64, 64):
        layers += [
            torch.nn.Conv2d(c, 64, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(64),
            torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(2),
        ]
    return torch.nn.Sequential(*layers, torch.nn.Flatten())


def name_of(form: str) -> str:
    """A contender's name."""
    return form if form.startswith("torch") else f"torch {form}"


def layout_of(form: str) -> Any:
    """The order of an image's values in memory: by channels for "NCHW" alone."""
    return torch.contiguous_format if form == "NCHW" else torch.channels_last


class TorchStep(Contender):
    """A contender, with cudnn.benchmark on and fused Adam. threads: of the CPU, None for every core at hand.

    form: "NCHW" and "channels_last" run eagerly; "torch.compile" and GRAPHS compile the channels-last one.
    """

    kind = "peer"

    def __init__(
        self,
        size: Size,
        form: str,
        metric: SquaredEuclidean | LeakySquaredEuclidean = LEAKY,
        *,
        threads: int | None = None,
        device: str = "cpu",
        tf32: bool = False,
    ) -> None:
        torch.set_num_threads(threads or usable_cores())
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        self.name, self.size, self.metric, self.device = name_of(form), size, metric, torch.device(device)
        self.net = conv4(size.image[2]).to(self.device, memory_format=layout_of(form))
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE, fused=True)
        in_layout = torch.from_numpy(pixels(size)).permute(0, 3, 1, 2).contiguous(memory_format=layout_of(form))
        self.pixels = in_layout.permute(0, 2, 3, 1).to(self.device)  # NHWC by its shape
        self.labels = torch.arange(size.way, device=self.device).repeat_interleave(size.query)
        self.graphs, self._loss = form == GRAPHS, self.loss
        if self.graphs:  # compiled for this size only, also after a second one; no step copies the data set
            torch._dynamo.mark_static_address(self.pixels)
            self._loss = torch.compile(self.loss, mode="max-autotune", dynamic=False)
        elif form == "torch.compile":
            self._loss = torch.compile(self.loss)

    def loss(self, indices: Any) -> Any:
        """The episode's mean loss. indices (images,) on the device."""
        z = self.net(self.pixels[indices].permute(0, 3, 1, 2).float() / 255)
        n = self.size.way * self.size.shot
        centres = z[:n].reshape(self.size.way, self.size.shot, -1).mean(1)
        d = (z[n:, None] - centres[None]).square().sum(-1)
        if isinstance(self.metric, LeakySquaredEuclidean):
            t, s = self.metric.threshold, self.metric.slope
            d = torch.where(d <= t, d, t + s * (d - t))
        return torch.nn.functional.cross_entropy(-d, self.labels)

    def step(self, indices: np.ndarray) -> Any:
        """One update. Returns the loss, on the device."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        given = torch.from_numpy(indices).to(self.device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(given)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class TorchEmbedding(Contender):
    """Embeddings of images (n, H, W, C) of bytes in evaluation: running statistics, no gradients."""

    kind = "peer"

    def __init__(self, images: np.ndarray, form: str, *, threads: int) -> None:
        torch.set_num_threads(threads)
        self.name, layout = name_of(form), layout_of(form)
        net = conv4(images.shape[3]).to(memory_format=layout).eval()
        self.net = torch.compile(net) if form == "torch.compile" else net
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def step(self, runs: list[tuple[int, int]]) -> np.ndarray:
        """All embeddings, batch by batch."""
        with torch.inference_mode():
            parts = [self.net(self.images[first:last].float() / 255) for first, last in runs]
            embeddings: np.ndarray = torch.cat(parts).numpy()
            return embeddings
