"""The sliders of the page: their controls, and what they start with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leakysm.choices import LEAKY_SLOPE, LEAKY_THRESHOLD
from leakysm.errors import UserError
from leakysm.ops.metrics import RestrictedSquaredEuclidean, is_users
from leakysm.ops.restriction import Restriction
from leakysm.report.html import Html, join, tag
from leakysm.report.page import Page
from leakysm.runs import TrainConfig
from leakysm.runs.settings import metric_parameters
from leakysm.training.sparsity import VANISHED

FORMULAS = {  # by the names of effect.js
    "squared-euclidean": "squared Euclidean: d",
    "leaky": "leaky: d up to t, then t + s (d - t)",
    "log": "log: t log(1 + d / t)",
    "root": "root: d up to t, then 2 sqrt(t d) - t",
    "euclidean": "unsquared Euclidean: sqrt(d)",
}
TABLE_ROWS = (
    ("vanished", f"gradient entries below {VANISHED}"),
    ("certainty", "mean of the largest probability"),
    ("distance", "mean distance"),
    ("length", "mean length of a query's gradient, |dL/dz|"),
    ("loss", "loss"),
    ("accuracy", "queries right"),
)
SLIDERS = ("threshold", "scale", "slope")  # parameters; a scale has the threshold's slider
NEARER, POINTS = 1e-6, 1200  # the table of a user's formula: its first distance after 0, and how many there are


def effect_section(page: Page, config: TrainConfig, played: dict[str, Any]) -> None:
    """The section with sliders; played: what `to_play_with` gives."""
    form = played["form"]
    own = own_formula(config, max(d for net in played["nets"] for row in net["squared"] for d in row))
    page.effect = {key: played[key] for key in ("labels", "nets")} | {"own": own}
    what = (
        f"The first training episode of this run, {form['way']}-way {form['shot']}-shot, with its squared distances d "
        "as the net computes them. Choose a formula that replaces d before the softmax, and see how the gradient "
        "changes. For example, choose leaky, and move the slope from 1 to 0.03: fewer gradient entries vanish."
    )
    page.section("Play with the effect", tag("p", what))
    if own["note"]:
        page.add(tag("p", own["note"], class_="note"))
    if config.learn_scale:
        page.add(
            tag("p", "This run also multiplies its distances by a learned scale. It is left out here.", class_="note")
        )
    reset = "Back to the start" if own["note"] else "The run's own setting"
    formulas = FORMULAS | ({"own": f"{own['words']}: the run's own"} if own["formula"] == "own" else {})
    page.add(_controls(formulas, [net["name"] for net in played["nets"]], reset), _charts(), _figures())


def own_formula(config: TrainConfig, largest: float) -> dict[str, Any]:
    """The run's formula, with which the sliders start; note: why it is another.

    A user's own restriction has a table of its value and derivative at squared distances up to `largest`.
    """
    start = {"threshold": LEAKY_THRESHOLD, "slope": LEAKY_SLOPE}
    if config.distance in FORMULAS and config.per != "coordinate":
        given = metric_parameters(config.settings())
        start |= {"threshold" if name == "scale" else name: value for name, value in given.items() if name in SLIDERS}
        return {"formula": config.distance, "note": "", **start}
    restriction = None if config.per == "coordinate" else _own_restriction(config)
    if restriction is not None and (table := _table(restriction, largest)):
        return {"formula": "own", "words": str(restriction), "note": "", "table": table, **start}
    why = f"{config.distance} per coordinate" if config.per == "coordinate" else config.distance
    note = (
        f"The run's own distance, {why}, is not among these formulas. The page starts with squared Euclidean distance."
    )
    return {"formula": "squared-euclidean", "note": note, **start}


def _own_restriction(config: TrainConfig) -> Restriction | None:
    """A user's restriction of pairs; None for another distance, and for code that may not be run."""
    try:
        metric = config.metric
    except UserError:
        return None
    return metric.restriction if isinstance(metric, RestrictedSquaredEuclidean) and is_users(metric) else None


def _table(restriction: Restriction, largest: float) -> dict[str, list[float]] | None:
    """Its values and derivatives, to seven digits; None if some are not finite."""
    d = np.concatenate([[0.0], np.geomspace(NEARER, max(largest, 2 * NEARER), POINTS)])
    with np.errstate(all="ignore"):
        rows = {"d": d, "value": restriction.value(np, d), "derivative": restriction.derivative(np, d)}
    if not all(np.isfinite(row).all() for row in rows.values()):
        return None
    return {name: [float(f"{one:.7g}") for one in row] for name, row in rows.items()}


def _controls(known: Mapping[str, str], nets: list[str], reset: str) -> Html:
    """The lists, sliders and the button whose words are `reset`. known: words about each formula."""
    formulas = (tag("option", words, value=name) for name, words in known.items())
    choices = (tag("option", name, value=str(i)) for i, name in enumerate(nets))
    shown = {name: tag("output", "", id=f"effect-{name}-shown") for name in ("threshold", "slope", "query")}
    threshold = tag("span", "threshold t", id="effect-threshold-name")
    return tag(
        "div",
        tag("label", "net", tag("select", *choices, id="effect-net")),
        tag("label", "query: ", shown["query"], _slider("query", 1)),
        tag("button", reset, type="button", id="effect-own"),
        tag("label", "formula", tag("select", *formulas, id="effect-formula")),
        tag("label", threshold, ": ", shown["threshold"], _slider("threshold", 100)),
        tag("label", "slope s: ", shown["slope"], _slider("slope", 60)),
        class_="controls",
    )


def _slider(name: str, most: int) -> Html:
    step = "1" if name == "query" else "any"
    return Html(f'<input type="range" id="effect-{name}" min="0" max="{most}" step="{step}" value="0">')


def _figures() -> Html:
    """A table that page.js fills: the chosen formula beside squared Euclidean distance."""
    head = tag("tr", *(tag("th", words) for words in ("", "chosen", "squared Euclidean")))
    rows = (
        tag(
            "tr",
            tag("td", words),
            *(tag("td", "", class_="number", id=f"effect-{name}{end}") for end in ("", "-squared")),
        )
        for name, words in TABLE_ROWS
    )
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide")


def _charts() -> Html:
    titles = {
        "gradients": "Gradient entries of all queries",
        "probabilities": "Probabilities of the chosen query",
        "curve": "The formula; dotted: squared Euclidean distance",
    }
    figures = (
        tag("figure", tag("figcaption", title), class_="chart", id=f"effect-{name}") for name, title in titles.items()
    )
    return tag("div", join(figures), class_="charts small")
