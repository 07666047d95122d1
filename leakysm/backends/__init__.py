"""The engines: every operation as a pair of `forward -> (y, saved)` and `backward(saved, dy)`, by name.

`protocol` says what an engine is, `checks` what its fast pairs check before they compute. The engines: `reference`,
`numpy`, `cupy`.
"""

from __future__ import annotations

from leakysm.backends.protocol import Engine, Pair
from leakysm.choices import BACKENDS, PRODUCTS
from leakysm.errors import UserError, suggestion


def backend(
    name: str,
    *,
    threads: int | None = None,
    device: str | int | None = None,
    products: str = "float32",
) -> Engine:
    """The engine `name`: "numpy" (fast, on the CPU), "cupy" (on a CUDA device) or "reference" (readable, on the CPU).

    threads: only for numpy; None is one for each core that this process may use.
    device: for cupy "cuda", "cuda:N" or the number N; for the others "cpu". None and "auto" fit every engine.
    products: how float32 matrix products are made. "float32": on the ordinary units. Only for cupy: "split", on tensor
    cores, within float32's bounds; "tf32", with factors rounded to 10 bits. Choose it before a process's first product.
    UserError (a ValueError) for an unknown name, a wrong device, or a missing GPU.

    Examples
    --------
    >>> pair = lk.backend("reference").operation("squared_euclidean")
    >>> y, saved = pair.forward(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
    >>> pair.backward(saved, np.ones((1, 1)))
    (array([[-6., -8.]]), array([[6., 8.]]))
    """
    if name not in BACKENDS:
        raise UserError(f"backend is {name!r}; {suggestion(name, BACKENDS)}")
    if products not in PRODUCTS:
        raise UserError(f"products is {products!r}; {suggestion(products, PRODUCTS)}")
    if name == "cupy":
        if device == "cpu":
            raise UserError(
                "the cupy backend runs on a GPU, but the device is 'cpu'; choose device cuda, or backend numpy"
            )
        from leakysm.backends.cupy.engine import CupyEngine

        return CupyEngine(device, products=products)
    if device not in (None, "cpu", "auto"):
        raise UserError(
            f"the {name} backend runs on the CPU, but the device is {device!r}; choose device cpu, or backend cupy"
        )
    if products != "float32":
        raise UserError(
            f"products is {products!r}, which works only on a GPU, but the backend is {name}; leave it out, or choose "
            "device cuda"
        )
    if name == "numpy":
        from leakysm.backends.numpy.engine import NumpyEngine

        return NumpyEngine(threads)
    from leakysm.backends.reference import ReferenceEngine

    return ReferenceEngine()


__all__ = ["BACKENDS", "Engine", "Pair", "backend"]
