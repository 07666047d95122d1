"""Conv4, the embedding net of prototypical networks: four blocks of convolution, batch norm, ReLU and max pool.

Each block: 3x3 convolution (stride 1, zero padding 1, no bias) -> batch norm -> ReLU -> 2x2 max pool (floor). The
result is flattened in the order (row, column, channel). Source: Vinyals et al. (2016), Snell et al. (2017).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from leakysm.backends import Engine, backend
from leakysm.errors import UserError
from leakysm.nets.net import Net, Norm
from leakysm.ops.batch_norm import EPS

Array = Any  # an array of the engine's namespace

CHANNELS, BLOCKS = 64, 4
KEEP = 0.9  # running = 0.9 running + 0.1 batch


class Conv4(Net):
    """The net with its parameters, on one engine.

    in_channels: channels of the images (N, H, W, in_channels). channels: channels of every block. blocks: how many
    there are; published nets have 4. seed: determines the initial weights, which are Kaiming normal (fan-out, gain sqrt
    2); batch norm starts at scale 1 and shift 0. dtype: float32 or float64. engine: what computes; the default is
    `leakysm.backend("numpy")`.

    `vector` (P,) holds all parameters; `parameters` are its named parts: block1.weight (3, 3, C, F) HWIO, block1.scale
    (F,), block1.shift (F,), ... block4.shift. `running` holds block1.mean, block1.variance, ... (F,).

    Examples
    --------
    >>> net = lk.Conv4(channels=8)
    >>> net.embed(np.zeros((2, 28, 28, 1), np.float32)).shape
    (2, 8)
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        channels: int = CHANNELS,
        blocks: int = BLOCKS,
        seed: int = 0,
        dtype: str = "float32",
        engine: Engine | None = None,
    ) -> None:
        counts = {"in_channels": (in_channels, 1), "channels": (channels, 1), "blocks": (blocks, 1), "seed": (seed, 0)}
        for name, (value, least) in counts.items():
            if not isinstance(value, int | np.integer) or value < least:
                raise UserError(f"{name} is {value!r}; a whole number of at least {least} is expected: give one")
        if not isinstance(engine, Engine | None):
            raise UserError(f"engine is {engine!r}; an engine is expected, e.g. leakysm.backend('numpy')")
        if dtype not in ("float32", "float64"):
            raise UserError(f"dtype is {dtype!r}; 'float32' or 'float64' is expected: choose one")
        self.in_channels, self.channels, self.blocks, self.dtype = in_channels, channels, blocks, np.dtype(dtype)
        self.engine = backend("numpy") if engine is None else engine
        size = sum(map(math.prod, _shapes(in_channels, channels, blocks).values()))
        self.vector: Array = self.engine.asarray(np.zeros(size, self.dtype))
        self.parameters: dict[str, Array] = self.parts(self.vector)
        self.running: dict[str, Array] = {}
        self.load_state(self._initial_state(seed))

    def parts(self, vector: Array) -> dict[str, Array]:
        """Views into a vector (P,) laid out like `vector`, such as a gradient: by name, in the parameters' shapes."""
        parts, start = {}, 0
        for name, shape in _shapes(self.in_channels, self.channels, self.blocks).items():
            parts[name] = vector[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        return parts

    def _initial_state(self, seed: int) -> dict[str, np.ndarray]:
        normal = np.random.Generator(np.random.Philox(seed)).standard_normal
        deviation = math.sqrt(2 / (9 * self.channels))  # gain sqrt 2, fan-out 3 * 3 * F
        state: dict[str, np.ndarray] = {}
        for name, shape in _shapes(self.in_channels, self.channels, self.blocks).items():
            kind = name.partition(".")[2]
            state[name] = deviation * normal(shape) if kind == "weight" else np.full(shape, float(kind == "scale"))
        for b in range(1, self.blocks + 1):
            state |= {f"block{b}.mean": np.zeros(self.channels), f"block{b}.variance": np.ones(self.channels)}
        return state

    def embedding_size(self, image_shape: tuple[int, ...]) -> int:
        """The embedding's number of values for images (H, W) or (H, W, C): 64 for 28x28, 1,600 for 84x84."""
        H, W = image_shape[:2]
        return (H >> self.blocks) * (W >> self.blocks) * self.channels

    def __call__(self, x: Array, norm: Norm = "running") -> Array:
        """Embeddings in evaluation; see `embed`."""
        return self.embed(x, norm)

    def embed(self, x: Array, norm: Norm = "running") -> Array:
        """Embeddings in evaluation. x (N, H, W, C) of the net's dtype, on the engine -> (N, h w F).

        norm: batch norm by the "running" statistics, or by this "episode"'s own.
        """
        if norm not in ("running", "episode"):
            raise UserError(f"norm is {norm!r}; 'running' or 'episode' is expected: choose one")
        if norm == "episode":
            return self.forward(x)[0]
        self._require_images(x)
        pair = self.engine.operation("conv_block_inference")
        for b in range(1, self.blocks + 1):
            statistics = (self.running[f"block{b}.mean"], self.running[f"block{b}.variance"])
            x, _ = pair.forward(x, *self._block(self.parameters, b), *statistics, eps=EPS)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def forward(self, x: Array) -> tuple[Array, Any]:
        """Embeddings in training, normalised by the batch. x (N, H, W, C) -> z (N, h w F), saved. Changes nothing."""
        self._require_images(x)
        pair = self.engine.operation("conv_block")
        blocks, statistics, counts = [], [], []
        for b in range(1, self.blocks + 1):
            counts.append(math.prod(x.shape[:3]))
            (x, mean, variance), saved = pair.forward(x, *self._block(self.parameters, b), eps=EPS)
            blocks.append(saved)
            statistics.append((mean, variance))
        return x.reshape(x.shape[0], math.prod(x.shape[1:])), (blocks, statistics, counts, x.shape)

    def backward(self, saved: Any, dz: Array) -> Array:
        """The gradient of all parameters. dz (N, h w F) -> (P,), laid out like `vector`."""
        blocks, _, _, shape = saved
        pair = self.engine.operation("conv_block")
        gradient = self.engine.xp.empty_like(self.vector)
        parts = self.parts(gradient)
        dx = dz.reshape(shape)
        for b in range(self.blocks, 0, -1):
            dx, *gradients = pair.backward(blocks[b - 1], dx, needs_dx=b > 1)
            for part, value in zip(self._block(parts, b), gradients, strict=True):
                part[...] = value
        return gradient

    def update_running(self, saved: Any) -> None:
        """running = 0.9 running + 0.1 batch, for the mean and for the unbiased variance."""
        _, statistics, counts, _ = saved
        for b, ((mean, variance), n) in enumerate(zip(statistics, counts, strict=True), 1):
            for name, value in ((f"block{b}.mean", mean), (f"block{b}.variance", variance * (n / (n - 1)))):
                self.running[name] = KEEP * self.running[name] + (1 - KEEP) * value

    def state(self) -> dict[str, np.ndarray]:
        """Parameters and running statistics on the host, copied."""
        return {name: self.engine.to_host(a).copy() for name, a in (self.parameters | self.running).items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Copy parameters and running statistics into the net. UserError unless names and shapes are this net's."""
        require_state(state, self.in_channels, self.channels, self.blocks)
        for name in self.parameters:
            self.parameters[name][...] = self.engine.asarray(state[name], self.dtype)
        for name in _statistics(
            self.channels, self.blocks
        ):  # copied, because asarray may return the caller's own array
            self.running[name] = self.engine.asarray(state[name].copy(), self.dtype)

    @staticmethod
    def _block(parts: dict[str, Array], b: int) -> tuple[Array, Array, Array]:
        return parts[f"block{b}.weight"], parts[f"block{b}.scale"], parts[f"block{b}.shift"]

    def _require_images(self, x: Array) -> None:
        if not hasattr(x, "ndim"):
            raise UserError(f"images are a {type(x).__name__}; an array of the engine is expected: engine.asarray")
        if x.ndim != 4 or x.shape[3] != self.in_channels or min(x.shape[1:3]) < 1 << self.blocks:
            raise UserError(
                f"images have shape {tuple(x.shape)}; (N, H, W, {self.in_channels}) is expected, H and W at least "
                f"{1 << self.blocks}: each of {self.blocks} blocks halves the image"
            )


def blocks_of(state: dict[str, np.ndarray]) -> int:
    """The number of blocks of a Conv4 with this state; 1 if it is no Conv4's."""
    return max(1, sum(name.endswith(".scale") for name in state))


def require_state(state: dict[str, np.ndarray], in_channels: int, channels: int, blocks: int) -> None:
    """UserError unless names and shapes are those of a Conv4's state with these numbers of channels and blocks."""
    if (given := blocks_of(state)) != blocks:
        raise UserError(f"state of a Conv4: it has {given} blocks, and the net {blocks}; load the same net")
    expected = _shapes(in_channels, channels, blocks) | _statistics(channels, blocks)
    if unlike := sorted(set(state) ^ set(expected)):
        raise UserError(
            f"state of a Conv4: {unlike[0]} is missing or unknown; expected {', '.join(expected)}: load a Conv4"
        )
    for name, shape in expected.items():
        if state[name].shape != shape:
            raise UserError(
                f"state of a Conv4: {name} has shape {state[name].shape}; {shape} is expected: load the same net"
            )


def _shapes(in_channels: int, channels: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """The parameters' shapes by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for b in range(1, blocks + 1):
        C, F = in_channels if b == 1 else channels, channels
        shapes |= {f"block{b}.weight": (3, 3, C, F), f"block{b}.scale": (F,), f"block{b}.shift": (F,)}
    return shapes


def _statistics(channels: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the running statistics by name."""
    return {f"block{b}.{statistic}": (channels,) for b in range(1, blocks + 1) for statistic in ("mean", "variance")}
