"""The training step in PyTorch on a GPU: channels last, cudnn.benchmark on, fused Adam; eager or compiled.

The distance is squared Euclidean, or leaky for pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from leakysm_benchmarks.torch_cpu import conv4, torch

from leakysm.ops.metrics import LeakySquaredEuclidean, SquaredEuclidean

if TYPE_CHECKING:
    from leakysm_benchmarks.sizes import Size

LEARNING_RATE = 1e-3
Distance = SquaredEuclidean | LeakySquaredEuclidean


class TorchStep:
    """A contender of the GPU benchmark. compiled: torch.compile(mode="max-autotune"), CUDA graphs included."""

    kind = "peer"

    def __init__(
        self, size: Size, metric: Distance, pixels: np.ndarray, *, compiled: bool, tf32: bool, device: str
    ) -> None:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        self.name = 'torch.compile(mode="max-autotune")' if compiled else "torch eager, channels_last"
        self.size, self.metric, self.device, self.compiled = size, metric, torch.device(device), compiled
        self.net = conv4(size.image[2]).to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE, fused=True)
        self.pixels = torch.from_numpy(pixels).to(self.device)
        self.labels = torch.arange(size.way, device=self.device).repeat_interleave(size.query)
        self._loss = self._compiled() if compiled else self.loss

    def _compiled(self) -> Any:
        """Compile for this size only, which is not the default after a second size, and copy no data set at a step."""
        torch._dynamo.mark_static_address(self.pixels)
        return torch.compile(self.loss, mode="max-autotune", dynamic=False)

    def loss(self, indices: Any) -> Any:
        """The episode's mean loss. indices (images,) on the device."""
        images = self.pixels[indices].permute(0, 3, 1, 2)  # NHWC bytes are NCHW, channels last
        z = self.net(images.float() / 255)
        n = self.size.way * self.size.shot
        centres = z[:n].reshape(self.size.way, self.size.shot, -1).mean(1)
        d = (z[n:, None] - centres[None]).square().sum(-1)
        if isinstance(self.metric, LeakySquaredEuclidean):
            t, s = self.metric.threshold, self.metric.slope
            d = torch.where(d <= t, d, t + s * (d - t))
        return torch.nn.functional.cross_entropy(-d, self.labels)

    def step(self, indices: np.ndarray) -> Any:
        """One update. Returns the loss, on the device."""
        if self.compiled:
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
