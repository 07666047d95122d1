"""Conv4 in PyTorch: its training step and embedding on the CPU, in the usual layouts and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leakysm.errors import UserError
from leakysm.ops.metrics import LeakySquaredEuclidean

if TYPE_CHECKING:
    from leakysm_benchmarks.sizes import Size

try:
    import torch as torch  # for the other files of PyTorch too
except ImportError as error:
    raise UserError(f"PyTorch cannot be imported ({error}), the opponent: pip install '.[peers]'") from None

FORMS = ("NCHW", "channels_last", "torch.compile")
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


def take_weights(net: Any, parameters: dict[str, np.ndarray]) -> None:
    """Give a PyTorch Conv4 the weights of ours: kernels HWIO to OIHW, scales and shifts as they are."""
    with torch.no_grad():
        for b in range(4):
            weight = torch.from_numpy(np.array(parameters[f"block{b + 1}.weight"]))
            net[4 * b].weight.copy_(weight.permute(3, 2, 0, 1))
            for name, own in (("scale", "weight"), ("shift", "bias")):
                getattr(net[4 * b + 1], own).copy_(torch.from_numpy(np.array(parameters[f"block{b + 1}.{name}"])))


class TorchStep:
    """A contender. form: "NCHW" and "channels_last" run eagerly, "torch.compile" compiles the channels-last one."""

    kind = "peer"

    def __init__(self, size: Size, pixels: np.ndarray, form: str, *, threads: int) -> None:
        torch.set_num_threads(threads)
        layout = torch.contiguous_format if form == "NCHW" else torch.channels_last
        self.name, self.size = f"torch {form}", size
        self.net = conv4(size.image[2]).to(memory_format=layout)
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE, fused=True)
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        self.labels = torch.arange(size.way).repeat_interleave(size.query)
        self._loss = torch.compile(self.loss) if form == "torch.compile" else self.loss

    def loss(self, indices: Any) -> Any:
        """The episode's mean loss, leaky squared Euclidean distance."""
        z = self.net(self.pixels[indices].float() / 255)
        n = self.size.way * self.size.shot
        centres = z[:n].reshape(self.size.way, self.size.shot, -1).mean(1)
        d = (z[n:, None] - centres[None]).square().sum(-1)
        d = torch.where(d <= LEAKY.threshold, d, LEAKY.threshold + LEAKY.slope * (d - LEAKY.threshold))
        return torch.nn.functional.cross_entropy(-d, self.labels)

    def step(self, indices: np.ndarray) -> float:
        """One update. Returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(torch.from_numpy(indices))
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def finish(self) -> None:
        """Nothing to wait for."""


class TorchEmbedding:
    """Embeddings of images (n, H, W, C) of bytes in evaluation: running statistics, no gradients."""

    kind = "peer"

    def __init__(self, images: np.ndarray, form: str, *, threads: int) -> None:
        torch.set_num_threads(threads)
        layout = torch.contiguous_format if form == "NCHW" else torch.channels_last
        self.name = f"torch {form}"
        net = conv4(images.shape[3]).to(memory_format=layout).eval()
        self.net = torch.compile(net) if form == "torch.compile" else net
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def step(self, runs: list[tuple[int, int]]) -> np.ndarray:
        """All embeddings, batch by batch."""
        with torch.inference_mode():
            parts = [self.net(self.images[first:last].float() / 255) for first, last in runs]
            embeddings: np.ndarray = torch.cat(parts).numpy()
            return embeddings

    def finish(self) -> None:
        """Nothing to wait for."""
