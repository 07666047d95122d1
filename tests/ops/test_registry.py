"""The registry's descriptions are true."""

import inspect
from pathlib import Path

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
    missing = {operation.name, f"{operation.name}_vjp"} - set(lk.__all__)
    assert not missing, f"add {sorted(missing)} to the imports and to __all__ in leakysm/__init__.py"
    assert getattr(lk, operation.name) is operation.value
    assert getattr(lk, f"{operation.name}_vjp") is operation.vjp
    assert operation.value.__doc__
    assert operation.vjp.__doc__


def test_every_file_that_registers_an_operation_is_imported():
    text = Path(ops.__file__).read_text("utf-8")
    for file in sorted(Path(ops.__file__).parent.glob("*.py")):
        if "\nregister(" in file.read_text("utf-8"):
            wanted = f"from leakysm.ops.{file.stem} import"
            assert wanted in text, f"{file.name} registers an operation: add `{wanted} ...` to leakysm/ops/__init__.py"


def test_every_operation_of_the_package_is_registered():
    public = {name.removesuffix("_vjp") for name in ops.__all__ if name.endswith("_vjp")}
    unregistered, hidden = public - set(OPERATIONS), set(OPERATIONS) - public
    assert not unregistered, f"{sorted(unregistered)}: call register(...) at the end of the file in leakysm/ops"
    assert not hidden, f"{sorted(hidden)}: add the name and its _vjp to __all__ in leakysm/ops/__init__.py"


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
