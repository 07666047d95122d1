"""Settings as text: what is read is what is written, and mistakes are named."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from leakysm_cli import options

from leakysm.errors import UserError
from leakysm.experiments.settings import label, parse_setting, parse_settings, value_of
from leakysm.ops.metrics import METRICS, LeakySquaredEuclidean, SquaredEuclidean
from leakysm.runs.settings import metric_of

leaky = st.builds(
    dict,
    distance=st.just("leaky"),
    threshold=st.floats(0, math.inf),
    slope=st.floats(0, 1, exclude_min=True),
    per=st.sampled_from(["pair", "coordinate"]),
)
settings = leaky | st.sampled_from(sorted(set(METRICS) - {"leaky"})).map(lambda name: {"distance": name})
rates = st.floats(1e-6, 1)
KEYS = ("distance", "threshold", "slope", "per", "learning_rate")


@given(settings, st.none() | rates)
@example({"distance": "leaky", "threshold": 1e16, "slope": 0.1 + 2**-40, "per": "pair"}, None)
def test_a_label_reads_back_as_its_setting(setting: dict, rate: float | None) -> None:
    if rate is not None:
        setting = {**setting, "learning_rate": rate}
    assert parse_setting(label(setting), KEYS) == setting


def test_a_learned_scale_goes_with_any_distance_and_reads_back() -> None:
    for text in ("squared-euclidean,learn_scale=true", "leaky,threshold=0,slope=0.1,learn_scale=true"):
        setting = parse_setting(text)
        assert setting["learn_scale"] is True
        assert label(setting) == text
    assert options.compared(None, "log", ["scale=2"], True) == ["squared-euclidean", "log,scale=2,learn_scale=true"]
    with pytest.raises(UserError, match="--learn-scale is given without --distance; add it"):
        options.compared(None, None, None, True)
    with pytest.raises(UserError, match="--learn-scale is given beside --setting"):
        options.compared(["leaky"], None, None, True)


@given(leaky)
def test_the_metric_has_the_parameters(setting: dict) -> None:
    assert metric_of(setting) == LeakySquaredEuclidean(setting["threshold"], setting["slope"], setting["per"])


def test_a_leaky_distance_has_pure_scaling_beside_it() -> None:
    parsed = parse_settings(options.compared(None, None, None))
    metrics = [SquaredEuclidean(), LeakySquaredEuclidean(), LeakySquaredEuclidean(threshold=0.0)]
    assert [metric_of(setting) for setting in parsed.values()] == metrics
    assert list(parsed) == ["squared-euclidean", "leaky,threshold=1,slope=0.03", "leaky,threshold=0,slope=0.03"]
    beside = list(parse_settings(options.compared(None, "leaky", ["slope=0.1", "threshold=7"])))
    assert beside[1:] == ["leaky,threshold=7,slope=0.1", "leaky,threshold=0,slope=0.1"]
    for nothing in ("0", "-0.0", "0e1"):
        assert len(parse_settings(options.compared(None, "leaky", [f"threshold={nothing}"]))) == 2
    assert options.compared(["leaky"], None, None) == ["leaky"]
    with pytest.raises(UserError, match="with which others are compared; give another"):
        options.compared(None, "squared-euclidean", None)


def test_the_order_of_keys_does_not_make_two_settings_of_one() -> None:
    with pytest.raises(UserError, match=r"leaky,threshold=2,slope=0\.5 is given twice"):
        parse_settings(["leaky,threshold=2,slope=0.5", "slope=0.5,threshold=2,distance=leaky"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leeky", "did you mean 'leaky'"),
        ("leaky,slop=0.1", "unknown setting 'slop'; did you mean 'slope'?"),
        ("leaky,slope", "'slope' is not key=value"),
        ("leaky,slope=2", "slope"),
        ("leaky,slope=nan", "slope"),
        ("leaky,slope=steep", "slope is 'steep': expected a number"),
        ("leaky,slope=0.1,slope=0.2", "slope is given twice"),
        ("squared-euclidean,threshold=1", "squared-euclidean has no threshold"),
        ("threshold=1", "names no distance"),
        ("leaky,seed=1", "seed cannot differ between compared settings; choose one of distance, threshold"),
        ("", "distance is ''"),
        ("leaky,slope=0.1\nthreshold=5", "expected a number"),
    ],
)
def test_mistakes_are_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_setting(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-.5e-3", -0.0005),
        ("1.", 1.0),
        ("1.e2", 100.0),
        ("inf", math.inf),
        ("true", True),
        ("True", True),
        ("False", False),
        ("pair", "pair"),
        ("[5, 20]", [5, 20]),
        ("1 = 2", "1 = 2"),
        ("9" * 400, "9" * 400),
    ],
)
def test_values_are_read_as_toml_or_python_or_as_text(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    text = "import leakysm as lk\nclass S(lk.Log): pass\n"
    for folder, more in (("a", ""), ("b", "# other\n"), ("c", "")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.py").write_text(text + more)
    a, b, c = (f"{tmp_path}/{folder}/s.py:S" for folder in "abc")
    first, second, third, other = parse_settings([a, b, f"{a},scale=2", "log"])
    assert re.fullmatch(r"s\.py:S,scale=1,formula=[0-9a-f]{8}", first)
    assert re.fullmatch(r"s\.py:S,scale=1,formula=[0-9a-f]{8}", second)
    assert third == first.replace("scale=1", "scale=2")
    assert (len({first, second}), other) == (2, "log,scale=1")
    assert list(parse_settings([a, f"{c},scale=2"])) == ["s.py:S,scale=1", "s.py:S,scale=2"]
    with pytest.raises(UserError, match=r"setting s\.py:S,scale=1 is given twice"):
        parse_settings([a, c])
