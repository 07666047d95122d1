"""The interface of an embedding net. Conv4 is one; your own net is another subclass."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from leakysm.backends import Engine
from leakysm.errors import UserError, require_kind
from leakysm.ops.own_code import any_results, guard

Array = Any  # an array of the engine's namespace
Norm = Literal["running", "episode"]


class Net:
    """An embedding net on one engine. A subclass sets `engine` and `vector`, and gives the methods that raise here.

    vector (P,): all parameters in one float array of the engine. Training changes its numbers in place. Embeddings
    have the dtype of the images, gradients that of `vector`: float32 in training.
    """

    engine: Engine
    vector: Array

    def __init_subclass__(cls) -> None:
        guard(cls, dict.fromkeys(("forward", "backward", "embed", "embedding_size"), any_results))

    def forward(self, x: Array) -> tuple[Array, Any]:
        """Embeddings in training, and what `backward` needs. x (N, H, W, C) float32 -> z (N, D), saved."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x)")

    def backward(self, saved: Any, dz: Array) -> Array:
        """The gradient of all parameters. dz (N, D) -> (P,), laid out like `vector`."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(saved, dz)")

    def embed(self, x: Array, norm: Norm = "running") -> Array:
        """Embeddings in evaluation. x (N, H, W, C) -> (N, D). norm: for nets with batch norm; others ignore it."""
        raise NotImplementedError(f"{type(self).__name__} has no embed(x, norm)")

    def embedding_size(self, image_shape: tuple[int, ...]) -> int:
        """The number of values D of an embedding of images (H, W, C); 0 if they are too small for the net."""
        raise NotImplementedError(f"{type(self).__name__} has no embedding_size(image_shape)")

    def update_running(self, saved: Any) -> None:
        """Called after each step: for running statistics, which not every net has."""

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps, on the host, copied: the parameters, if a subclass has nothing else."""
        return {"vector": self.engine.to_host(self.vector).copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Copy a state into the net. UserError unless names and shapes are this net's."""
        own = self.state()
        if {name: array.shape for name, array in state.items()} != {name: array.shape for name, array in own.items()}:
            raise UserError(
                f"the state holds {_shapes(state)}, and the net {type(self).__name__} has {_shapes(own)}; "
                "give the same net"
            )
        self.vector[...] = self.engine.asarray(state["vector"], self.vector.dtype)


def require_embeddings(net: Net, x: Array, z: Array, method: str) -> None:
    """UserError unless a method of a net gave embeddings of the images x: (N, D), D its `embedding_size`, x's dtype."""
    expected = (len(x), net.embedding_size(tuple(x.shape[1:])))
    if not hasattr(z, "dtype"):
        found = f"a value of type {type(z).__name__}"
    elif tuple(z.shape) != expected:
        found = f"an array of shape {tuple(z.shape)}"
    elif z.dtype != x.dtype:
        found = f"an array of {z.dtype}"
    else:
        return
    raise UserError(f"{method} of {type(net).__name__} gives {found}; shape {expected}, {x.dtype} is expected")


def require_gradient(net: Net, gradient: Array) -> None:
    """UserError unless `backward` of a net gave an array like its vector."""
    if not hasattr(gradient, "dtype"):
        found = f"a value of type {type(gradient).__name__}"
    elif tuple(gradient.shape) != tuple(net.vector.shape):
        found = f"a gradient of shape {tuple(gradient.shape)}"
    elif gradient.dtype != net.vector.dtype:
        found = f"a gradient of {gradient.dtype}"
    else:
        return
    like = f"{tuple(net.vector.shape)}, {net.vector.dtype}"
    raise UserError(f"backward of {type(net).__name__} gives {found}; that of its vector is expected, {like}")


def require_net(net: object) -> None:
    """UserError unless it is an instance of a subclass of `Net`, with an engine and a vector of parameters."""
    require_kind("net", net, Net, "an instance of a subclass of leakysm.Net is expected: give one")
    for name in ("engine", "vector"):
        if not hasattr(net, name):
            raise UserError(f"the net {type(net).__name__} has no {name}; set self.{name} in its __init__")


def _shapes(state: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in sorted(state.items()))
