"""The page of an early-gradients experiment: the figures of the first steps, setting by setting."""

from __future__ import annotations

from pathlib import Path

from leakysm import plots
from leakysm.errors import UserError
from leakysm.experiments.gradients import claims
from leakysm.experiments.gradients.plots import PANELS, vanished_in_words
from leakysm.report.charts import early_curves
from leakysm.report.html import Html, table, tag
from leakysm.report.page import Page, begun
from leakysm.report.stored import FIRST_COLUMN, MEND, StoredGradients, read_gradients, read_stored


def gradients_page(folder: Path) -> Page:
    """The first steps of all settings. UserError if gradients.json or gradients.csv is damaged."""
    stored = read_stored(folder / "gradients.json", StoredGradients)
    figures = read_gradients(folder / "gradients.csv", stored)
    labels = [one.setting for one in stored.settings]
    config = stored.settings[0].config
    title = (
        f"{config.get('dataset')}, {config.get('way')}-way {config.get('shot')}-shot: the first {stored.steps} steps"
    )
    page = begun(title, vanished_in_words(labels, figures[FIRST_COLUMN][:, :, 0]) + ".")
    note = (
        f"{plots.seeds_in_words(len(stored.seeds))}. All settings start at the same weights, and see the same episodes."
        " For sliders: leakysm train, then leakysm report RUN."
    )
    page.section("First steps", tag("p", note, class_="note"))
    early_curves(page, {name: list(values) for name, values in figures.items()}, labels)
    for words, step in (("At the first step", 0), (f"At step {stored.steps - 1}", stored.steps - 1)):
        page.section(words, _at_step(labels, figures, step))
    _claims(page, folder / "gradients.json", stored)
    return page


def _claims(page: Page, path: Path, stored: StoredGradients) -> None:
    """The table of claims that the command prints, phase by phase; none where the file holds no claims."""
    try:
        verdicts = claims.from_json([one.model_dump() for one in stored.claims])
        phases = claims.by_phase(verdicts, stored.settings[0].setting)
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is damaged (claims: {error}); {MEND}") from None
    for phase, (header, rows) in phases.items():
        named = ([first if first.startswith(" ") else tag("b", first), *rest] for first, *rest in rows)
        note = f"Against {header[0]}, paired within the seeds. {claims.IN_BRACKETS}."
        content = table(("", *header), named, numbers=range(1, 1 + len(header)))
        page.section(f"The abstract's claims, {phase}", tag("p", note, class_="note"), content)


def _at_step(labels: list[str], figures: dict[str, plots.Floats], step: int) -> Html:
    rows = []
    for panel in PANELS:
        if panel.column in figures:
            means = panel.factor * figures[panel.column][:, :, step].mean(axis=1)
            rows.append([panel.title, panel.unit, *(f"{mean:.4g}" for mean in means)])
    return table(("mean over the seeds", "", *labels), rows, numbers=range(2, 2 + len(labels)))
