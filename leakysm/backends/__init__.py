"""The engines: every operation as a pair of `forward -> (y, saved)` and `backward(saved, dy)`, by name."""

from __future__ import annotations

from leakysm.backends.protocol import Engine, Pair
from leakysm.choices import BACKENDS, CONVOLUTIONS
from leakysm.errors import UserError, suggestion


def backend(
    name: str,
    *,
    threads: int | None = None,
    device: str | int | None = None,
    tf32: bool = False,
    convolution: str = "direct",
) -> Engine:
    """The engine `name`: "numpy" (fast, on the CPU), "cupy" (on a CUDA device) or "reference" (readable, on the CPU).

    threads: for numpy alone; None takes the processors that this process may use.
    device: for cupy alone, "cuda" or "cuda:N"; None or "cpu" for the others.
    tf32: for cupy alone: let float32 matrix products round their factors to TF32, if chosen before the first one.
    convolution: for numpy alone, "direct" or "winograd". Winograd's F(2x2, 3x3) (Lavin & Gray 2016) needs fewer
    products in training, for float32 blocks of 16 input channels and more; its errors are relative to a 4x4 tile.
    UserError (a ValueError) for another name, a device that the engine does not run on, or a GPU that is not there.

    Examples
    --------
    >>> pair = lk.backend("reference").operation("squared_euclidean")
    >>> y, saved = pair.forward(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    >>> pair.backward(saved, np.ones((1, 1)))
    (array([[-6., -8.]]), array([[6., 8.]]))
    """
    if name not in BACKENDS:
        raise UserError(f"backend is {name!r}; {suggestion(name, BACKENDS)}")
    if convolution not in CONVOLUTIONS:
        raise UserError(f"convolution is {convolution!r}; {suggestion(convolution, CONVOLUTIONS)}")
    if convolution == "winograd" and name != "numpy":
        raise UserError(f"convolution is winograd, but the backend is {name}; leave it out, or choose backend numpy")
    if name == "cupy":
        if device == "cpu":
            raise UserError(
                "the cupy backend runs on a GPU, but the device is 'cpu'; choose device cuda, or backend numpy"
            )
        from leakysm.backends.cupy.engine import CupyEngine

        return CupyEngine(device, tf32=tf32)
    if device not in (None, "cpu", "auto"):
        raise UserError(
            f"the {name} backend runs on the CPU, but the device is {device!r}; choose device cpu, or backend cupy"
        )
    if tf32:
        raise UserError(f"tf32 works only on a GPU, but the backend is {name}; leave it out, or choose device cuda")
    if name == "numpy":
        from leakysm.backends.numpy.engine import NumpyEngine

        return NumpyEngine(threads, convolution=convolution)
    from leakysm.backends.reference import ReferenceEngine

    return ReferenceEngine()


__all__ = ["BACKENDS", "Engine", "Pair", "backend"]
