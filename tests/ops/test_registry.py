"""The registry's descriptions are true."""

import inspect

import numpy as np
import pytest

import leakysm as lk
from leakysm import ops
from leakysm.ops.registry import OPERATIONS, register


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda o: o.name)
def test_signatures_follow_the_rule(operation):
    """vjp: the value's own arguments, then dy, then the value's parameters."""
    value, vjp = (inspect.signature(f).parameters for f in (operation.value, operation.vjp))
    positional = [name for name, p in value.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [a.name for a in operation.arguments]
    assert [name for name, p in value.items() if p.kind is p.KEYWORD_ONLY] == list(operation.parameters)
    assert [name for name, p in vjp.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == [*positional, "dy"]
    assert set(operation.parameters) <= set(vjp)
    assert getattr(lk, operation.name) is operation.value
    assert getattr(lk, f"{operation.name}_vjp") is operation.vjp
    assert operation.value.__doc__
    assert operation.vjp.__doc__


def test_every_operation_of_the_package_is_registered():
    assert {name.removesuffix("_vjp") for name in ops.__all__ if name.endswith("_vjp")} == set(OPERATIONS)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="relu is registered already"):
        register(OPERATIONS["relu"])


def test_power_of_two_scale_is_exact_and_brings_near_one():
    from leakysm.ops.arrays import power_of_two_scale

    for dtype, low, high in ((np.float32, -149, 127), (np.float64, -1074, 1023)):
        m = np.ldexp(dtype(1.5), np.arange(low + 1, high)).astype(dtype)
        scale = power_of_two_scale(np, m)
        assert np.all(np.frexp(scale)[0] == 0.5)
        assert np.all((m * scale < 4) & (m * scale > 2.0**-60))
