"""Whatever a user's own class raises or returns in use is one line that names it; nobody else's class is touched."""

import re
import sys

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import UserError
from leakysm.ops.own_code import OwnCodeError


def _exit():
    sys.exit()


def _assert():
    raise AssertionError


def _next():
    return next(iter(()))


class Restricted(lk.Restriction):
    """What `does` gives is returned or raised in use, for arrays of two dimensions."""

    does: object = None

    def value(self, xp, d):
        return self.does(xp, d) if d.ndim == 2 else 2 * d

    def derivative(self, xp, d):
        return 2 * xp.ones_like(d)


class Mine(lk.Metric):
    does: object = None

    def __call__(self, x, c):
        return ((x[:, None] - c[None]) ** 2).sum(axis=-1)

    def vjp(self, x, c, dy):
        return self.does(x, c)


GUARDED = ("value", "derivative", "chain", "__call__", "vjp")
X, C = np.ones((3, 2), np.float32), np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (lambda xp, d: 1 / 0, "value raises, in line N, ZeroDivisionError: division by zero; correct it"),
        (lambda xp, d: _assert(), "AssertionError; correct it"),
        (
            lambda xp, d: xp.nothing(d),
            "numpy' has no attribute 'nothing'; correct it",
        ),
        (lambda xp, d: _next(), "StopIteration; correct it"),
        (lambda xp, d: _exit(), "SystemExit; correct it"),
        (lambda xp, d: lk.squared_euclidean(d, 1), "ArrayError: c is a int; an array is expected"),
        (lambda xp, d: xp.sum(d), "value returns an array of shape (); shape (3, 4) is expected"),
        (lambda xp, d: "text", "value returns a value of type str; an array of shape (3, 4) is expected"),
        (lambda xp, d: None, "value returns None; an array of shape (3, 4) is expected"),
        (lambda xp, d: d.astype(np.float64), "value returns float64 for float32; keep the dtype"),
    ],
)
def test_a_restriction_in_use(does, told):
    metric = lk.RestrictedSquaredEuclidean(Restricted(does))
    for distances in (metric, lk.backend("numpy").operation("restricted_squared_euclidean").forward):
        with pytest.raises(UserError) as caught:
            distances(X, C, **({} if distances is metric else metric.parameters))
        line = str(caught.value)
        assert line.startswith(f"{__file__}:Restricted: value ")
        assert told in re.sub(r"in line \d+", "in line N", line)
        assert "\n" not in line
        assert isinstance(caught.value.__cause__, (Exception, SystemExit)) == ("raises" in line)


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (lambda x, c: None, "vjp returns None; dx and dc are expected: return both"),
        (lambda x, c: (x, c, x), "vjp returns 3 results; dx and dc are expected"),
        (lambda x, c: (x[:, :1], c), "vjp returns dx as an array of shape (3, 1); shape (3, 2) is expected"),
        (lambda x, c: (x, None), "vjp returns dc as None; an array of shape (4, 2) is expected"),
        (lambda x, c: (x, 1.0 * c.astype(np.float64)), "vjp returns dc as float64 for float32; keep the dtype"),
    ],
)
def test_a_metric_in_use(does, told):
    with pytest.raises(OwnCodeError, match=r"test_own_code\.py:Mine: vjp ") as caught:
        Mine(does).vjp(X, C, np.ones((3, 4), np.float32))
    assert told in str(caught.value)


def test_built_in_classes_stay_as_they_are():
    assert all(hasattr(getattr(Mine, name), "__wrapped__") for name in ("__call__", "vjp"))
    for kind in (lk.Leak, lk.Log, lk.Root, lk.LeakySquaredEuclidean, lk.Cosine):
        assert not any(hasattr(getattr(kind, name, None), "__wrapped__") for name in GUARDED)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_not_the_formulas_fault_passes_through(error):
    def raises(xp, d):
        raise error

    with pytest.raises(error):
        Restricted(raises).value(np, np.ones((1, 1)))


@pytest.mark.parametrize(
    ("name", "span", "told"),
    [
        ("typo", "0 < typo < 1", "ranges has typo, but there is no such parameter; did you mean 'a'?"),
        ("a", "0 < b < 1", "ranges has '0 < b < 1' for a; write it like '0 < a < inf'"),
        ("a", "positive", "ranges has 'positive' for a; write it like '0 < a < inf'"),
        ("a", "0 < a < one", "ranges has '0 < a < one' for a"),
        ("a", (0, 1), "ranges has (0, 1) for a"),
    ],
)
def test_a_range_that_cannot_be_read_is_refused_where_the_class_is_made(name, span, told):
    with pytest.raises(UserError) as caught:
        type("Own", (lk.Restriction,), {"ranges": {name: span}, "a": 0.5, "__annotations__": {"a": "float"}})
    assert told in str(caught.value)
