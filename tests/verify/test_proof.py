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


def parameters(case):
    return {
        name: {"operation": p.operation, "parameters": p.parameters}
        if hasattr(p, "operation")
        else {"restriction": type(p).__name__.lower(), "parameters": p.parameters}
        if isinstance(p, Restriction)
        else p
        for name, p in case.parameters.items()
    }


def numbers(entry):
    """Of every small case the first element of each output and gradient that is neither 0 nor infinite."""
    for truth in entry.truths:
        if truth.case.own or truth.case.size > LARGEST or "float64" not in truth.case.dtypes:
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
        call = dict(zip(names, case.arguments, strict=True)), parameters(case), np.asarray(case.dy)
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
