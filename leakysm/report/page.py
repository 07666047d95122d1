"""The page: sections, charts and the effect put into the template, with nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from leakysm import plots
from leakysm.experiments.student import LEAST
from leakysm.plots import COLOURS, Floats, Style
from leakysm.report.html import Html, join, tag
from leakysm.strict_json import json_text

LARGEST = 2_000_000  # bytes of a page
MARK = b"<!doctype html>\n<!-- leakysm report -->"  # how every page begins
POINTS = 400  # of a line
INTERVALS = f"Intervals: 95 %, Student's t over the training seeds; none from fewer than {LEAST}."


@dataclass
class Page:
    """A page as it grows. effect: what the sliders work on; None where there is nothing to play with. lacks: what
    cannot be shown, and why."""

    title: str
    parts: list[Html] = field(default_factory=list)
    headings: list[tuple[str, str]] = field(default_factory=list)
    charts: dict[str, Any] = field(default_factory=dict)
    effect: dict[str, Any] | None = None
    lacks: list[str] = field(default_factory=list)

    def add(self, *parts: Html) -> None:
        """More of the section that was begun last."""
        self.parts += parts

    def section(self, title: str, *parts: Html) -> None:
        """Begin a section."""
        name = f"part-{len(self.headings) + 1}"
        self.headings.append((name, title))
        self.add(tag("h2", title, id=name), *parts)

    def missing(self, words: str) -> None:
        """Say what cannot be shown, and why."""
        self.lacks.append(words)
        self.add(tag("p", words, class_="missing"))

    def chart(self, title: str, spec: dict[str, Any], note: str = "") -> Html:
        """A chart that page.js draws. spec: x and y, what the axes count; series, the lines; log, least, most."""
        name = f"chart-{len(self.charts) + 1}"
        self.charts[name] = spec
        small = [tag("small", note)] if note else []
        return tag("figure", tag("figcaption", title, *small), class_="chart", data_chart=name)

    def html(self) -> bytes:
        """The whole file."""
        inside = files("leakysm.report")
        script = "".join((inside / name).read_text("utf-8") for name in ("effect.js", "page.js"))
        links = tag("nav", *(tag("a", title, href=f"#{name}") for name, title in self.headings))
        data = json_text({"charts": self.charts, "effect": self.effect}, compact=True)
        template = Template((inside / "page.html").read_text("utf-8"))
        page = template.substitute(
            title=join([self.title]),
            style=_colours() + (inside / "page.css").read_text("utf-8"),
            body=join([*self.parts[:2], links, *self.parts[2:]]),
            data=data.replace("<", "\\u003c"),  # no name ends the script
            digest="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            script=script,
        )
        return page.encode()


def begun(title: str, finding: str) -> Page:
    """A page with its title and what it shows in a sentence."""
    page = Page(title)
    page.add(tag("h1", title), tag("p", finding, class_="finding"))
    return page


def series(x: Floats, y: Floats, style: Style, label: str, **more: Any) -> dict[str, Any]:
    """A line of a chart. y (points,), or (seeds, points): then the mean, in a band from lowest to highest seed."""
    kept = _kept(len(x))
    values = np.atleast_2d(y)[:, kept]
    line = {"label": label, "metric": style.metric, "before": style.before, "dashes": list(style.dashes)}
    line |= {"x": _short(x[kept]), "y": _short(values.mean(axis=0))}
    if len(values) > 1:
        line |= {"low": _short(values.min(axis=0)), "high": _short(values.max(axis=0))}
    return line | more


def styled(labels: Sequence[str]) -> list[tuple[str, Style]]:
    """Each label with the style of its line."""
    return list(zip(labels, plots.styles(labels), strict=True))


def _kept(n: int) -> np.ndarray:
    """Which of n points are drawn: the first, the last, and others evenly between them."""
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(np.int64))


def _short(values: Floats) -> list[float]:
    """Each number to five digits; a chart shows fewer."""
    return [float(f"{value:.5g}") for value in values]


def _colours() -> str:
    """The colours of all metrics as CSS, on light and on dark ground."""
    light, dark = (
        "".join(f".m-{name} {{ --metric: {pair[ground]}; }}\n" for name, pair in COLOURS.items()) for ground in (0, 1)
    )
    return f"{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"
