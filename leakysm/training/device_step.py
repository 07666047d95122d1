"""A whole training step on the device: from an episode's index vector to updated parameters, with one host round trip.

It is built from the CuPy engine's kernels and recorded once as a program: images from the data set's bytes, the net
forward, prototypes, distances, cross-entropy, the way back, the optimizer's update and the running statistics. Where
loss or gradient is not finite the device changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from leakysm.backends import Engine
from leakysm.backends.cupy import distances, loss
from leakysm.backends.cupy.blocks import (
    Saved,
    block_forward,
    channel_gradients,
    convolution_gradient,
    first_weight_gradient,
)
from leakysm.backends.cupy.convolution import image_gradient, turn, weight_gradient
from leakysm.backends.cupy.kernels import PACK, ROW_FIGURES, THREADS, Kernels, ceil_div
from leakysm.backends.cupy.program import Recorder
from leakysm.nets import Conv4, Net
from leakysm.nets.conv4 import KEEP
from leakysm.ops.arrays import Array
from leakysm.ops.batch_norm import EPS
from leakysm.ops.metrics import Metric
from leakysm.optim import OPTIMIZERS, Optimizer
from leakysm.training.sparsity import FAINT, VANISHED

JUDGES = 64  # blocks that look for the gradient's largest magnitude
RECORD = 8  # loss, accuracy, five figures of sparsity, the gradient's largest magnitude


class Images(NamedTuple):
    """A split on the device: bytes (n, H, W, C), mean and deviation (C,) of the net's dtype."""

    pixels: Array
    mean: Array
    deviation: Array


class TrainingStep:
    """The step of one float32 net, optimizer and metric, for episodes of one form on one split.

    step(indices) trains on the images with these indices, support first, class by class, and returns the record (8,):
    loss, accuracy, the five figures of sparsity, the gradient's largest magnitude. If loss or magnitude is not finite,
    nothing was changed.
    """

    def __init__(
        self,
        kernels: Kernels,
        net: Conv4,
        optimizer: Optimizer,
        metric: Metric,
        images: Images,
        *,
        way: int,
        shot: int,
        query: int,
    ) -> None:
        self.kernels, self.net, self.optimizer, self.metric, self.images = kernels, net, optimizer, metric, images
        self.way, self.shot, self.query = way, shot, query
        self._built: tuple[int, ...] = ()
        self._run: Callable[[], None] | None = None

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """indices (way * (shot + query),) int64 -> record (8,)."""
        run = self._prepare()
        self._indices[:] = indices
        self._rates[:] = rates(self.optimizer)
        run()
        record = self._record.copy()
        if np.isfinite(record[[0, -1]]).all():
            self.optimizer.steps += 1
        return record

    def _prepare(self) -> Callable[[], None]:
        """The program, recorded anew if an array that it works on was exchanged, by `load_state` for example."""
        self.optimizer.make_slots(self.net.vector)
        state = (self.net.vector, *self.net.running.values(), *self.optimizer.slots.values())
        addresses = tuple(map(self.kernels.address, state))
        if self._run and addresses == self._built:
            return self._run
        self._run = None  # free its arrays before making new ones
        xp, dtype, n = self.kernels.xp, self.net.vector.dtype, self.way * (self.shot + self.query)
        recorder = Recorder(self.kernels)
        # One buffer, one copy: n indices, and behind them the rates.
        given, record = xp.empty(n + 2, np.int64), xp.empty(RECORD, dtype)
        host_given = self.kernels.host_buffer(n + 2, np.int64)
        host_record = self.kernels.host_buffer(RECORD, dtype)
        self._indices, self._rates, self._record = host_given[:n], host_given[n:].view(dtype)[:2], host_record
        self._trace(recorder, given[:n], given[n:].view(dtype)[:2], record)
        self._built = addresses
        self._run = self.kernels.program(recorder.launches, (given, host_given), (record, host_record))
        return self._run

    def _trace(self, kernels: Recorder, indices: Array, rates: Array, record: Array) -> None:
        """Every launch of a step, in order."""
        first, *others = self._blocks()
        with kernels.beside():
            turned = {b: turn(kernels, b.parameters(self.net.parameters)[0]) for b in others}
        x = gather(kernels, self.images, indices)
        forward = {}
        for b in (first, *others):
            outputs, saved = block_forward(kernels, x, *b.parameters(self.net.parameters), eps=EPS)
            forward[b] = Forward(*outputs, saved)
            x = outputs[0]
        kernels.join()
        dz = self._loss(kernels, x.reshape(x.shape[0], -1), record)

        gradient = kernels.xp.empty_like(self.net.vector)
        parts = self.net.parts(gradient)
        dy = dz.reshape(x.shape)
        for b in reversed(others):
            dy = block_backward(kernels, forward[b].saved, dy, b.parameters(parts), turned[b])
        first_block_backward(kernels, forward[first].saved, dy, first.parameters(parts))
        kernels.join()
        ready = judge(kernels, gradient, record)
        with kernels.beside():
            for b, went in forward.items():
                update_running(kernels, b.statistics(self.net.running), went, ready)
        update(kernels, self.optimizer, self.net.vector, gradient, rates, ready)

    def _loss(self, kernels: Recorder, z: Array, record: Array) -> Array:
        """dz of embeddings z (support, then queries; D); the first seven values of the record."""
        xp, way, (n, D) = kernels.xp, self.way, z.shape
        S, Q = way * self.shot, way * self.query
        labels = [xp.asarray(np.repeat(np.arange(way, dtype=np.int64), k)) for k in (self.shot, self.query)]
        kind, restriction = distances.kind_of(self.metric.operation, **self.metric.parameters)
        prototypes = loss.prototypes(kernels, z[:S], labels[0], way)
        d, saved = distances.forward(kernels, kind, restriction, z[S:], prototypes.centres)
        figures, dd = xp.empty((len(ROW_FIGURES), Q), z.dtype), xp.empty_like(d)
        loss.cross_entropy(kernels, d, labels[1], sign=-1, figures=figures, gradient=dd, vanished=VANISHED)
        dz, dcentres = xp.empty((n, D), z.dtype), xp.empty_like(prototypes.centres)
        distances.backward(kernels, saved, dd, dz[S:], dcentres)
        loss.prototypes_gradient(kernels, prototypes, dcentres, dz[:S])
        with kernels.beside():  # nothing but the record waits for it
            summarise(kernels, figures, dz[S:], record, way)
        return dz

    def _blocks(self) -> list[Block]:
        return [Block(b) for b in range(1, len(self.net.running) // 2 + 1)]


class Forward(NamedTuple):
    """What a block's forward pass gave: y (N, H // 2, W // 2, F), the batch's mean and biased variance (F,)."""

    y: Array
    mean: Array
    variance: Array
    saved: Saved


class Block(NamedTuple):
    """A block of the net, and what its arrays are called."""

    number: int

    def parameters(self, arrays: dict[str, Array]) -> tuple[Array, Array, Array]:
        """weight, scale, shift."""
        weight, scale, shift = (arrays[f"block{self.number}.{name}"] for name in ("weight", "scale", "shift"))
        return weight, scale, shift

    def statistics(self, arrays: dict[str, Array]) -> tuple[Array, Array]:
        """mean, variance."""
        return arrays[f"block{self.number}.mean"], arrays[f"block{self.number}.variance"]


def gather(kernels: Kernels, images: Images, indices: Array) -> Array:
    """The images at `indices`, (N, H, W, C), scaled as the data set says."""
    _, H, W, C = images.pixels.shape
    x = kernels.xp.empty((indices.size, H, W, C), images.mean.dtype)
    grid = (ceil_div(x.size, THREADS),)
    kernels.launch("gather", grid, THREADS, images.pixels, indices, images.mean, images.deviation, x, len(x), H * W, C)
    return x


def block_backward(
    kernels: Recorder, saved: Saved, dy: Array, gradients: tuple[Array, Array, Array], turned: Array
) -> Array:
    """dx of a block; dw, dscale, dshift go into `gradients`. turned: its kernel turned. No dx waits for a dw."""
    dw, dscale, dshift = gradients
    channel_gradients(kernels, saved, dy, dscale, dshift)
    dz = convolution_gradient(kernels, saved, dy, dscale, dshift, training=True)
    with kernels.beside():
        weight_gradient(kernels, saved.x, dz, dw)
    return image_gradient(kernels, turned, dz)


def first_block_backward(kernels: Kernels, saved: Saved, dy: Array, gradients: tuple[Array, Array, Array]) -> None:
    """dw, dscale, dshift of the first block into `gradients`: nobody wants the gradient of the images."""
    dw, dscale, dshift = gradients
    channel_gradients(kernels, saved, dy, dscale, dshift)
    first_weight_gradient(kernels, saved, dy, dw, dscale, dshift)


def summarise(kernels: Kernels, figures: Array, dquery: Array, record: Array, M: int) -> None:
    """Fill record (7 or more,): loss, accuracy, and the five figures of early-gradient sparsity.

    figures (len(ROW_FIGURES), N): of `loss.cross_entropy` on N x M distances; dquery (N, D): the mean loss's gradient,
    contiguous.
    """
    N, D = dquery.shape
    lengths = kernels.xp.empty(N, dquery.dtype)
    kernels.launch("row_lengths", (N,), THREADS, dquery, lengths, D, float(N))
    kernels.launch("summarise", (1,), THREADS, figures, lengths, record, N, M, FAINT)


def judge(kernels: Kernels, gradient: Array, record: Array) -> Array:
    """() int32: 1 if loss and gradient are finite; the gradient's largest magnitude goes into the record."""
    largest, ready = kernels.xp.empty(JUDGES, gradient.dtype), kernels.xp.empty((), np.int32)
    kernels.launch("largest_magnitude", (JUDGES,), THREADS, gradient, largest, gradient.size)
    kernels.launch("judge", (1,), THREADS, largest, record, record[-1:], ready, JUDGES)
    return ready


def rates(optimizer: Any) -> tuple[float, float]:
    """What changes from step to step: for Adam its rate over the first correction, and the second correction."""
    if "velocity" in optimizer.slot_names:
        return optimizer.learning_rate, 0.0
    t, (decay_m, decay_v) = optimizer.steps + 1, optimizer.decays
    return optimizer.learning_rate / (1 - decay_m**t), 1 - decay_v**t


def update(kernels: Kernels, optimizer: Any, vector: Array, gradient: Array, rates: Array, ready: Array) -> None:
    """The optimizer's update of vector and slots, if `ready`."""
    slots = [optimizer.slots[name] for name in optimizer.slot_names]
    if "velocity" in optimizer.slot_names:
        name, constants = "momentum", (optimizer.momentum,)
    else:
        name, constants = "adam", (*(1 - decay for decay in optimizer.decays), optimizer.epsilon)
    P = vector.size
    numbers = map(float, constants)
    kernels.launch(name, (ceil_div(P, THREADS),), THREADS, vector, gradient, *slots, rates, ready, P, *numbers)


def update_running(kernels: Kernels, running: tuple[Array, Array], went: Forward, ready: Array) -> None:
    """running = KEEP running + (1 - KEEP) batch, for a block's mean and its unbiased variance, if `ready`."""
    F = went.mean.size
    n = went.saved.z.size // F
    gains = (KEEP, 1 - KEEP, (1 - KEEP) * (n / (n - 1)))
    grid = (ceil_div(F, THREADS),)
    kernels.launch("update_running", grid, THREADS, *running, went.mean, went.variance, ready, F, *gains)


def device_step(
    engine: Engine,
    net: Net,
    optimizer: Optimizer,
    metric: Metric,
    images: tuple[Array, Array, Array],
    *,
    way: int,
    shot: int,
    query: int,
) -> Callable[[np.ndarray], np.ndarray] | None:
    """A whole training step in one call: for the CuPy engine, its distances, a built-in optimizer, and a float32 Conv4.

    The net has a multiple of PACK channels. None for all else, such as a subclass of Conv4: then the trainer calls one
    operation after the other.

    images: a split's bytes (n, H, W, C), mean and deviation (C,), on the device. The call takes the indices of an
    episode's images, support first, and gives (8,): loss, accuracy, the five figures of sparsity, and the gradient's
    largest magnitude. It updates net and optimizer, unless loss or gradient is not finite.
    """
    kernels = getattr(engine, "kernels", None)
    if (
        not isinstance(kernels, Kernels)
        or type(net) is not Conv4
        or net.dtype != np.float32
        or net.channels % PACK
        or type(optimizer) not in OPTIMIZERS.values()
        or not metric.is_operation
        or metric.operation not in distances.OPERATIONS
    ):
        return None
    step = TrainingStep(kernels, net, optimizer, metric, Images(*images), way=way, shot=shot, query=query)
    call: Callable[[np.ndarray], np.ndarray] = kernels.told(step.__call__)
    return call
