"""Mistakes planted in PyTorch and JAX functions: each is a mistake, and the suite refuses it. Needs both libraries."""

from __future__ import annotations

import warnings

import pytest

from .conforming import passed
from .exact import excess
from .mutants import sample

pytest.importorskip("torch")
pytest.importorskip("jax")

from .framework_mutants import framework_mutants, framework_outputs, is_impure_in_torch


@pytest.mark.slow
@pytest.mark.parametrize("array", ["torch", "jax"])
@pytest.mark.filterwarnings("ignore")
def test_every_framework_mistake_is_refused(array: str) -> None:
    assert passed(m for m in framework_mutants() if m.array == array) == []


@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_mistakes_in_torch_is_refused() -> None:
    chosen = sample(m for m in framework_mutants() if m.array == "torch")
    assert passed(chosen[:: max(len(chosen) // 12, 1)]) == []


@pytest.mark.parametrize("array", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
def test_framework_witnesses_are_beyond_the_bound(array: str) -> None:
    chosen = [m for m in framework_mutants() if m.array == array]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown = [is_impure_in_torch(m) if m.impure else excess(m.witness, framework_outputs(m)) > 1 for m in chosen]
    assert [m.name for m, shows in zip(chosen, shown, strict=True) if not shows] == []
    assert len(chosen) >= {"torch": 60, "jax": 20}[array]
