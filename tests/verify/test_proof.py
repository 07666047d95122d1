"""docs/examples/proof.py and the oracle share no code, and agree on every value and gradient."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from leakysm.ops.restriction import Restriction
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.registry import ENTRIES

_SPEC = importlib.util.spec_from_file_location("proof", Path(__file__).parents[2] / "docs" / "examples" / "proof.py")
assert _SPEC is not None
assert _SPEC.loader is not None
proof = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(proof)
LARGEST = 60  # numbers of a case


def parameters(given):
    """A metric or restriction is its name and its parameters."""
    return {name: _named(p) for name, p in given.items()}


def _named(parameter):
    if hasattr(parameter, "operation"):
        return {"operation": parameter.operation, "parameters": parameters(parameter.parameters)}
    if isinstance(parameter, Restriction):
        return {"restriction": type(parameter).__name__.lower(), "parameters": parameter.parameters}
    return parameter


def numbers(entry):
    """Yield case, name, place and value: for each output and gradient of each small case, its first element that is
    neither 0 nor infinite. The proof does not know the own classes of some cases, which are left out."""
    for truth in entry.truths:
        own = truth.case.own or "own-class" in truth.case.flags
        if own or truth.case.size > LARGEST or "float64" not in truth.case.dtypes:
            continue
        for names, exacts in ((entry.definition.outputs, truth.value), (entry.gradients, truth.vjp)):
            for name, exact in zip(names, exacts, strict=True):
                places = np.argwhere((exact.high != 0) & np.isfinite(exact.high))
                if len(places):
                    yield truth.case, name, tuple(int(i) for i in places[0]), exact.high[tuple(places[0])]


@pytest.mark.parametrize("operation", list(ENTRIES))
def test_the_proof_agrees_with_the_oracle_and_accuses_only_what_is_wrong(operation: str) -> None:
    entry, judged = ENTRIES[operation], 0
    for case, output, at, value in numbers(entry):
        names = [a.name for a in entry.definition.arguments]
        call = dict(zip(names, case.arguments, strict=True)), parameters(case.parameters), np.asarray(case.dy)
        right = proof.prove(operation, *call, "float64", output, at, float(value))
        if "reason" in right:
            continue
        judged += 1
        assert not right["confirmed"], (case.id, output, right)
        off = float(value) + 3 * float(right["allowed"]) + 4 * np.spacing(abs(float(value)))
        if np.isinf(off):
            off = -math.copysign(math.inf, value)  # where so much is allowed, only the other infinity is wrong
        accused = proof.prove(operation, *call, "float64", output, at, off)["confirmed"]
        assert accused, (case.id, output, off)
    assert judged > 0
