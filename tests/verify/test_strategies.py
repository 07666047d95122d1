"""The public strategies draw what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakysm.ops.registry import OPERATIONS
from leakysm.verify import strategies
from leakysm.verify.case import DTYPES, Case

dtypes = st.sampled_from(DTYPES)


def held(values: np.ndarray, dtype: str) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(dtype).astype(np.float64), values))


@given(st.data(), dtypes)
def test_pairs_are_finite_and_held_by_their_dtype(data: st.DataObject, dtype: str) -> None:
    x, c = data.draw(strategies.pairs(dtype))
    assert x.ndim == c.ndim == 2
    assert x.shape[1] == c.shape[1]
    assert held(x, dtype)
    assert held(c, dtype)
    assert np.all(np.isfinite(x))


@given(st.data(), dtypes)
def test_some_points_coincide_or_are_one_ulp_apart(data: st.DataObject, dtype: str) -> None:
    x, c = data.draw(strategies.pairs(dtype, "coincident"))
    assert (x[:, None, :] == c[None]).all(-1).any()
    x, c = data.draw(strategies.pairs(dtype, "ulp-apart"))
    ulp = np.spacing(np.abs(c).astype(dtype)).astype(np.float64)
    assert (np.abs(x[:, None, :] - c[None]) <= ulp).all(-1).any()


@given(st.data())
def test_far_points_are_far_and_large_ones_large(data: st.DataObject) -> None:
    x, c = data.draw(strategies.pairs("float32", "far"))
    assert min(np.abs(x).min(), np.abs(c).min()) > 900
    assert np.abs(x[:, None] - c[None]).max() < 20
    x, _ = data.draw(strategies.pairs("float32", "subnormal"))
    assert np.abs(x).max() < 2.0**-46


@given(st.data())
def test_equal_distances_are_equal_to_rounding(data: st.DataObject) -> None:
    x, c = data.draw(strategies.pairs("float64", "equal-distances"))
    d = ((x[:, None] - c[None]) ** 2).sum(-1)
    assert np.ptp(d) <= 1e-14 * (np.abs(x).max() ** 2 + np.abs(c).max() ** 2 + 1) * x.shape[1]


@given(st.data(), dtypes, st.sampled_from(strategies.LOGIT_KINDS))
def test_logits_have_a_finite_one_in_every_row(data: st.DataObject, dtype: str, kind: str) -> None:
    z = data.draw(strategies.logits(dtype, kind))
    assert np.isfinite(z).any(-1).all()
    assert not np.isnan(z).any()
    assert held(z, dtype)


@given(st.data())
def test_every_class_of_an_episode_has_support_and_every_label_a_class(data: st.DataObject) -> None:
    support, labels, query, query_labels = data.draw(strategies.episodes())
    assert len(support) == len(labels)
    assert len(query) == len(query_labels)
    assert np.bincount(labels).min() >= 1
    assert query_labels.max() <= labels.max()


@given(st.data(), st.sampled_from(strategies.LAYOUTS))
def test_a_layout_keeps_the_numbers_and_is_read_only(data: st.DataObject, layout: str) -> None:
    values = data.draw(strategies.images())
    found = strategies.arranged(values, layout)
    assert np.array_equal(found, values)
    assert not found.flags.writeable
    item, longer = found.itemsize, [(s, n) for s, n in zip(found.strides, found.shape, strict=True) if n > 1]
    told_by_strides = {
        "contiguous": found.flags.c_contiguous,
        "reversed": all(stride < 0 for stride, _ in longer),
        "strided": all(stride >= 2 * item for stride, _ in longer),
        "transposed": found.T.flags.c_contiguous,
    }
    assert told_by_strides[layout]


@given(st.data())
def test_thresholds_hit_the_distances(data: st.DataObject) -> None:
    x, c = data.draw(strategies.pairs("float16", "plain"))
    d = ((x[:, None] - c[None]) ** 2).sum(-1)
    assert 0 <= data.draw(strategies.thresholds(d)) <= np.inf
    assert 0 < data.draw(strategies.slopes()) <= 1


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=15)
@given(st.data())
def test_a_drawn_case_is_a_call_that_the_operation_takes(operation: str, data: st.DataObject) -> None:
    case: Case = data.draw(strategies.cases(operation))
    with np.errstate(all="ignore"):
        y = case.definition.value(*case.arguments, **case.parameters)
    assert np.shape(y[0] if isinstance(y, tuple) else y) == np.shape(case.dy)
    assert "float64" in case.dtypes
    assert "random" in case.flags
