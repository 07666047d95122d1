"""Every public operation and class has an example in its docstring, and prints what the docstring says."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest

import leakysm as lk

# What trains or needs a run: docs/guides/train-from-python.md and the docstring of Trainer show it.
IN_GUIDES = {"Net", "TrainConfig", "Trainer", "embed_split", "evaluate", "evaluate_run", "resolve", "train"}


def explained(name: str) -> bool:
    value: Any = getattr(lk, name)
    return callable(value) and name not in IN_GUIDES and not (isinstance(value, type) and issubclass(value, Exception))


@pytest.mark.parametrize("name", [name for name in lk.__all__ if explained(name)])
def test_the_example_in_a_docstring_holds(name: str) -> None:
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    (test,) = finder.find(getattr(lk, name), name, globs={"lk": lk, "np": np})
    assert test.examples, f"{name}: give its docstring a section Examples"
    said: list[str] = []
    assert not doctest.DocTestRunner().run(test, out=said.append).failed, "".join(said)
