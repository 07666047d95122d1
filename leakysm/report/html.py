"""HTML that cannot be broken by a name: what is not marked as HTML is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leakysm.experiments.intervals import with_interval
from leakysm.plots import Style

SIDE = 64  # pixels: images are no larger; page.css shows them so


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def text(words: str) -> str:
    """The words, with an escape such as \\udcff for each code that UTF-8 cannot hold."""
    return words.encode("utf-8", "backslashreplace").decode()


def join(parts: Iterable[str]) -> Html:
    """The parts one after another; those that are no HTML are escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(text(part)) for part in parts))


def tag(name: str, *content: str, **attributes: str) -> Html:
    """An element. Attributes: `class_` is written class, `data_chart` data-chart."""
    given = (f' {key.strip("_").replace("_", "-")}="{escape(text(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{''.join(given)}>{join(content)}</{name}>")


def image(pixels: NDArray[np.uint8], *, ink: bool, name: str) -> Html:
    """An image (H, W, C) within the page, SIDE pixels at most. Ink is drawn dark on white."""
    height, width, channels = pixels.shape
    shown = Image.fromarray((255 - pixels if ink else pixels).squeeze(2) if channels == 1 else pixels)
    if max(height, width) > SIDE:
        shown.thumbnail((SIDE, SIDE))
    buffer, kind = io.BytesIO(), "jpeg" if channels == 3 else "png"
    shown.save(buffer, kind, **({"quality": 85} if kind == "jpeg" else {"optimize": True}))
    coded = base64.b64encode(buffer.getvalue()).decode()
    return Html(f'<img src="data:image/{kind};base64,{coded}" alt="{escape(text(name))}">')


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> Html:
    """A table. numbers: the columns of numbers, right-aligned."""
    right = set(numbers)

    def cell(name: str, i: int, content: str) -> Html:
        return tag(name, content, class_="number") if i in right else tag(name, content)

    head = tag("tr", *(cell("th", i, words) for i, words in enumerate(header)))
    body = (tag("tr", *(cell("td", i, words) for i, words in enumerate(row))) for row in rows)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="wide")


def legend(keys: Iterable[tuple[str, Style]]) -> Html:
    """Which line is which."""
    return tag("div", *(tag("span", _key(style), label) for label, style in keys), class_="legend")


def _key(style: Style) -> Html:
    dashes, pale = " ".join(map(str, style.dashes)), f"{0.68**style.before:.2f}"
    line = f'<line class="line m-{style.metric}" x1="1" x2="41" y1="6" y2="6"'
    line += f' stroke-dasharray="{dashes}" stroke-opacity="{pale}"/>'
    return Html(f'<svg width="42" height="12" aria-hidden="true">{line}</svg>')


def plus_minus(mean: float, interval: float | None, sign: str = "") -> str:
    """12.34 ± 0.56, or the mean alone; sign "+" writes one before a positive mean too."""
    return with_interval(mean, interval, sign).replace("+-", "±")
