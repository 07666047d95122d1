"""ReLU: y = max(x, 0), with gradient 0 at 0. NaN stays NaN."""

from __future__ import annotations

from leakysm.ops.arrays import Array, quiet, require_shape, working
from leakysm.ops.registry import Operation, arrays, register


@quiet
def relu(x: Array) -> Array:
    """ReLU, max(x, 0); NaN stays NaN. x (...) float -> (...). ArrayError (a ValueError) unless the array holds floats.

    Examples
    --------
    >>> lk.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    xp, (x,), finish = working(x=x)
    return finish(xp.where(x <= 0, xp.zeros_like(x), x))


@quiet
def relu_vjp(x: Array, dy: Array) -> Array:
    """Gradient of `relu`. dy (...) -> dx (...): dy where x > 0, else 0. Errors as in `relu`; UserError for dy's shape.

    Examples
    --------
    >>> lk.relu_vjp(np.array([-1.0, 0.0, 2.0]), np.ones(3))
    array([0., 0., 1.])
    """
    xp, (x, dy), finish = working(x=x, dy=dy)
    require_shape("dy", dy, tuple(x.shape))
    return finish(xp.where(x > 0, dy, xp.zeros_like(dy)))


register(Operation("relu", relu, relu_vjp, arrays("x"), "x of any shape", kinks=lambda x: {"positive": x > 0}))
