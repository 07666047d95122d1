"""What every picture has in common: a colour for each metric, lines that can be told apart, plain numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leakysm.choices import DISTANCES
from leakysm.plots import COLOURS, logarithmic, metric_of, new_figure, plain, styles


def test_a_metric_has_one_colour_whatever_stands_beside_it() -> None:
    missing = {*DISTANCES} - {*COLOURS}
    assert not missing, f"{missing}: add a colour to COLOURS of leakysm/plots.py"
    assert (
        metric_of("leaky,threshold=0,slope=0.03") == metric_of("leaky threshold=0.0 slope=0.03 per=pair") == "scaling"
    )
    assert metric_of("leaky,threshold=0.5,slope=0.03") == "leaky"
    assert metric_of("mine.py:Soft,scale=2") == "own"
    alone = styles(["euclidean"])[0].colour
    assert [style.colour for style in styles(["cosine", "leaky", "euclidean"])][2] == alone == COLOURS["euclidean"][0]


def test_no_two_lines_of_a_picture_look_alike_in_grey_or_in_colour() -> None:
    lines = styles([f"leaky,threshold={t}" for t in range(1, 5)] + ["euclidean", "cosine"])
    assert len({style.dashes for style in lines}) == len({style.colour for style in lines}) == 6


def test_two_settings_of_one_distance_have_different_hues() -> None:
    first, second, log = styles(["leaky,threshold=1", "leaky,threshold=2", "log"])
    assert (first.metric, second.metric, log.metric) == ("leaky", "euclidean", "log")


@pytest.mark.parametrize(("value", "text"), [(1e-6, "0.000001"), (0.05, "0.05"), (20, "20"), (1e4, "10,000")])
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


def test_ticks_of_a_logarithmic_axis_are_plain_numbers() -> None:
    figure, (axis,) = new_figure(1, 1)
    axis.plot([0, 1], [0.3, 40])
    logarithmic(axis)
    figure.draw_without_rendering()
    shown = {label.get_text() for label in axis.get_yticklabels()}
    assert {"1", "10"} <= shown
    assert not any("10^" in text or "e" in text for text in shown)


def test_matplotlib_is_imported_only_where_something_is_drawn() -> None:
    root = Path(__file__).resolve().parents[1]
    for file in (file for top in ("leakysm", "cli", "benchmarks") for file in (root / top).rglob("*.py")):
        assert not re.search(r"^(import|from) matplotlib", file.read_text("utf-8"), re.MULTILINE), file
