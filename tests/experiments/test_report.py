"""`leakysm report`: pages of runs and experiments, whole and safe whatever the names are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leakysm as lk
from leakysm.backends import backend
from leakysm.data import Dataset, load
from leakysm.episodes import EpisodeForm
from leakysm.errors import UserError
from leakysm.experiments.compare.comparison import compare, to_json
from leakysm.experiments.finished import read_run
from leakysm.experiments.sweep.report import Grid
from leakysm.report import run as run_module
from leakysm.report.episodes import Classifier
from leakysm.report.html import Html, image, join
from leakysm.report.page import LARGEST
from leakysm.report.report import page_of
from leakysm.report.stored import SweptSetting
from leakysm.report.sweep import grid_of
from leakysm.runs import restore
from leakysm.runs.journal import read_metrics
from tests.experiments.command import leakysm, refused

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=document.title='broken'>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=2000 --dump-dom
""".split()  # noqa: SIM905
ENGINE = backend("numpy", threads=1)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    """The page of a run whose classes have hostile names."""
    data = load("strokes")
    test = data.split("test")
    named = replace(test, names=tuple(f"{HOSTILE} {name}" for name in test.names))
    hostile = replace(data, splits={**data.splits, "test": named})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "load_data", lambda settings: hostile)
        content = page_of(run, ENGINE)
    assert len(content) < LARGEST
    return content.decode()


class Outline(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)


def test_a_page_needs_nothing_else_and_no_name_breaks_it(page: str) -> None:
    outline = Outline(page)
    addresses = [attrs[key] or "" for _, attrs in outline.elements for key in ("src", "href") if key in attrs]
    assert addresses
    assert all(address.startswith(("data:image/png;", "data:image/jpeg;", "#part-")) for address in addresses)
    assert not any(key.startswith("on") for _, attrs in outline.elements for key in attrs)
    assert [name for name, _ in outline.elements].count("script") == 2
    digest = base64.b64encode(hashlib.sha256(outline.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    json.loads(outline.scripts[0])


def test_what_is_not_marked_as_html_is_escaped() -> None:
    assert join([Html("<b>"), "<i>\udcff"]) == "<b>&lt;i&gt;\\udcff"


def test_no_image_is_large() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    assert len(image(noise, ink=False, name="a")) < 8000  # 200 of them stay below LARGEST


DRIVER = """
const told = {errors: [], titles: []};
addEventListener("error", (event) => told.errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => told.errors.push(event.violatedDirective));
addEventListener("load", () => {
  const control = (name) => document.getElementById(`effect-${name}`);
  const move = (name, value) => { control(name).value = value; control(name).dispatchEvent(new Event("input")); };
  const names = ["vanished", "distance", "certainty", "length", "loss", "accuracy"];
  const figures = () => Object.fromEntries(names.map((name) => [name, control(name).textContent]));
  const drawn = (chart) => chart.querySelectorAll("svg .line, svg rect").length;
  told.charts = [...document.querySelectorAll("figure.chart")].map(drawn);
  told.first = figures();
  for (const option of control("formula").options) move("formula", option.value);
  move("formula", "leaky"); move("threshold", 60); move("slope", 40);
  told.moved = figures();
  told.bars = [...control("probabilities").querySelectorAll("rect")].map((bar) => Number(bar.getAttribute("height")));
  move("net", 1); move("query", 2);
  told.trained = figures();
  control("own").click(); move("net", 0);
  told.again = figures();
  dispatchEvent(new Event("resize"));
  const result = document.createElement("pre");
  result.id = "told";
  result.textContent = JSON.stringify(told);
  document.body.append(result);
});
"""


def number(words: str) -> float:
    return float(words.removesuffix(" %").replace(",", "")) / (100 if "%" in words else 1)


def by_library(net: dict[str, Any], labels: list[int], threshold: float, slope: float) -> dict[str, float]:
    """The figures of the page's own distances, by the library."""
    distances = lk.Leak(threshold, slope).value(np, np.array(net["squared"]))
    gradients = np.abs(lk.cross_entropy_vjp(-distances, np.array(labels))) * len(labels)
    return {
        "vanished": float(np.mean(gradients < 1e-3)),
        "distance": float(distances.mean()),
        "loss": float(lk.cross_entropy(-distances, np.array(labels))),
        "certainty": float(np.exp(lk.log_softmax(-distances)).max(axis=1).mean()),
    }


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium")
def test_in_a_browser_the_sliders_move_the_figures(page: str, run: Path, tmp_path: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(DRIVER.encode()).digest()).decode()
    driven = page.replace("script-src '", f"script-src 'sha256-{digest}' '").replace(
        "<style>", f"<script>{DRIVER}</script><style>", 1
    )
    (tmp_path / "page.html").write_text(driven)
    words = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "HOME": str(tmp_path)}
    )
    assert "CONSOLE" not in done.stderr
    assert "<title>strokes, 3-way" in done.stdout
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout)
    assert found, done.stdout[-500:]
    told = json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert told["errors"] == []
    assert min(told["charts"]) >= 1

    metrics = read_metrics(run / "metrics.csv")  # its first row is of the same episode and net
    columns = {"vanished": "vanished_distance_gradients", "distance": "mean_distance", "loss": "loss"}
    columns |= {"certainty": "mean_max_probability", "length": "mean_query_gradient", "accuracy": "accuracy"}
    for name, column in columns.items():
        assert number(told["first"][name]) == pytest.approx(metrics[column][0], rel=0.006, abs=0.0006), name
    effect = json.loads(Outline(page).scripts[0])["effect"]
    for state, net, t, s in (("moved", 0, 10, 0.1), ("trained", 1, 10, 0.1)):
        for name, value in by_library(effect["nets"][net], effect["labels"], t, s).items():
            assert number(told[state][name]) == pytest.approx(value, rel=0.006, abs=0.0006), (state, name)
    assert told["moved"] != told["first"] == told["again"]
    assert sum(told["bars"]) == pytest.approx(210 - 44 - 12, rel=1e-6)  # the height of probability 1


def test_of_every_kind_of_folder_there_is_a_page(run: Path, tmp_path: Path) -> None:
    gradients = page_of(RESULTS / "omniglot-gradients", ENGINE).decode()
    assert "At the first step 89 % of the gradient entries have vanished with squared-euclidean" in gradients
    sweep = page_of(RESULTS / "caltech101-grid", ENGINE).decode()
    assert '<td style="--part:79%" class="best">56.94 ± 1.08</td>' in sweep
    runs = sorted((RESULTS / "omniglot-vinyals-60way").glob("*/seed-*"))
    content = to_json(compare([read_run(one) for one in runs]))
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    compared = page_of(tmp_path, ENGINE).decode()
    assert "<td>-0.42 ± 0.73<div" in compared
    assert "holds no metrics.csv" in compared
    published = leakysm("report", runs[0], "--out", tmp_path / "published.html")
    assert published.out.startswith(f"{tmp_path / 'published.html'}: ")
    assert "The folder holds no checkpoint, so there is no episode" in (tmp_path / "published.html").read_text()
    for test in content["tests"]:
        for setting in test["settings"]:
            setting["setting"] += HOSTILE
            for seed in setting["seeds"]:
                seed["run"] = str(run)
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    outline = Outline(page_of(tmp_path, ENGINE).decode())
    assert [name for name, _ in outline.elements].count("script") == 2
    assert len(json.loads(outline.scripts[0])["charts"]) == 6


def test_the_worst_classes_are_of_the_runs_own_test(run: Path) -> None:
    """Over all test episodes, the classes together are right as often as the run's summary says."""
    restored, told = restore(run, ENGINE), []
    tested = Classifier(restored, load("strokes"), lambda done, total: None)
    test = read_run(run).tests[0]
    form = EpisodeForm(test.way, test.shot, test.query)
    worst = tested.worst(form, test.episodes, lambda done, total: told.append(done))
    right, seen = sum(one.right for one in worst), sum(one.seen for one in worst)
    assert seen == test.episodes * test.way * test.query
    assert 100 * right / seen == pytest.approx(test.accuracy)
    assert told == [1, 2, 3]
    assert [one.accuracy for one in worst] == sorted(one.accuracy for one in worst)
    assert all((one.taken_for is None) == (one.right == one.seen) for one in worst)


def test_colours_span_the_intervals() -> None:
    means, intervals = np.array([[50.0, 51.0]]), np.array([[3.0, np.nan]])
    assert Grid([0.0], [0.1, 0.2], means, intervals).span == (47.0, 53.0)
    assert Grid([0.0], [0.1, 0.2], means, means * np.nan).span == (49.5, 51.5)


def test_missing_images_are_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(settings: object) -> Dataset:
        raise UserError("/nowhere: no such folder; give --data")

    monkeypatch.setattr(run_module, "load_data", gone)
    assert "The images could not be read" in page_of(run, ENGINE).decode()
    done = leakysm("report", run, "--out", tmp_path / "page.html")
    assert done.err.startswith("leakysm: The images could not be read, so there is no episode and there are no sliders")
    assert done.err.count("\n") == 1
    assert "/nowhere: no such folder" in refused("report", run, "--data", tmp_path, "--out", tmp_path / "bad.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_an_episode_of_very_many_classes_is_not_played_with(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "PAIRS", 8)
    page = page_of(run, ENGINE).decode()
    assert "episodes of 3 classes are too large for this page" in page
    assert json.loads(Outline(page).scripts[0])["effect"] is None


def test_bad_use_is_one_line(run: Path, tmp_path: Path) -> None:
    nothing = "holds nothing to report on (neither config.toml nor any of comparison.json, sweep.json, gradients.json)"
    assert nothing in refused("report", tmp_path)
    assert "an HTML file is written; give a name that ends in .html" in refused(
        "report", run, "--out", tmp_path / "a.txt"
    )
    (tmp_path / "mine.html").write_text("my notes")
    line = refused("report", RESULTS / "omniglot-gradients", "--out", tmp_path / "mine.html")
    assert "mine.html exists already and is not a report; give another --out" in line
    assert (tmp_path / "mine.html").read_text() == "my notes"
    assert "is not a run; leave it out" in refused("report", RESULTS / "omniglot-gradients", "--data", tmp_path)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "summary.json").unlink()
    assert "is not finished" in refused("report", unfinished)
    for name, content, words in (
        ("sweep.json", '{"settings": [], "runs": 3}', "sweep.json is damaged (runs: "),
        ("comparison.json", "{", "comparison.json is damaged ("),
        ("gradients.json", '{"seeds": [0], "steps": 1, "settings": []}', "gradients.json is damaged (settings: "),
    ):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(content)
        assert words in refused("report", folder)


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    command = ("report", RESULTS / "omniglot-gradients", "--out", tmp_path / "r.html")
    assert leakysm(*command).code == 0
    assert leakysm(*command).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_only_numbers_make_a_grid() -> None:
    swept = [
        SweptSetting(setting=f"leaky,threshold={t},slope={s}", test="t", accuracy=50.0, interval=None, seeds=1)
        for t in ("1", "inf", "abc", "1.2.3")
        for s in ("0.5", "1e-05")
    ]
    grid = grid_of(swept)
    assert grid is not None
    assert list(grid.slopes) == [1e-05, 0.5]
