from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.strict_json import json_text

finite = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
)


@given(finite, st.sampled_from([None, 1, 2]))
def test_finite_content_is_written_as_python_writes_it(content: object, indent: int | None) -> None:
    assert json_text(content, indent=indent) == json.dumps(content, indent=indent)


def test_it_is_compact_and_sorted_where_wanted() -> None:
    assert json_text({"b": [1, 2], "a": 0}, compact=True, sort_keys=True) == '{"a":0,"b":[1,2]}'


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, np.float64("inf")])
def test_what_is_not_finite_is_null_however_deep(value: float) -> None:
    assert json_text({"a": [value, (1.5, {"b": value})]}) == '{"a": [null, [1.5, {"b": null}]]}'
