"""Runs of what was made in Python: data from arrays, a metric, a net of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import UserError
from leakysm.runs import RunFolder, restore
from leakysm.runs.settings import checked
from leakysm.runs.sound import require_sound
from tests.experiments.command import leakysm, refused

SETTINGS = {"way": 2, "query": 1, "episodes": 3, "test_way": 2, "test_query": 1, "test_episodes": 5, "threads": 1}


class Linear(lk.Net):
    """z = x w, of the flattened image, with values D."""

    def __init__(self, pixels: int, width: int = 4, seed: int = 0) -> None:
        self.engine = lk.backend("numpy", threads=1)
        self.width = width
        self.vector = np.random.default_rng(seed).normal(0, 0.1, pixels * width).astype(np.float32)

    @property
    def w(self) -> np.ndarray:
        return self.vector.reshape(-1, self.width)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = x.reshape(len(x), -1)
        return flat @ self.w, flat

    def backward(self, saved: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return (saved.T @ dz).ravel()

    def embed(self, x: np.ndarray, norm: str = "running") -> np.ndarray:
        return self.forward(x)[0]

    def embedding_size(self, image_shape: tuple[int, ...]) -> int:
        return self.width


class Soft(lk.Restriction):
    scale: float = 1.0

    def value(self, xp: Any, d: Any) -> Any:
        return self.scale * xp.log1p(d / self.scale)

    def derivative(self, xp: Any, d: Any) -> Any:
        return 1 / (1 + d / self.scale)


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four images 8x8 of each of six classes a to f."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(list("abcdef")), 4)
    pattern = rng.integers(0, 200, (6, 8, 8))
    return (np.repeat(pattern, 4, axis=0) + rng.integers(0, 56, (24, 8, 8))).astype(np.uint8), labels


SPLITS = {"train": ["a", "b", "c"], "test": ["d", "e", "f"]}
METRIC = lk.RestrictedSquaredEuclidean(Soft(4.0))


def birds(**other: Any) -> lk.Dataset:
    images, labels = arrays()
    return lk.Dataset.from_arrays(**{"images": images, "labels": labels, "splits": SPLITS, "name": "birds"} | other)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of own data, own metric and own net. To look at, not to touch."""
    out = tmp_path_factory.mktemp("objects") / "run"
    summary = lk.train(SETTINGS, data=birds(), metric=METRIC, net=Linear(64), out=out)
    assert summary.tests[0].episodes == 5
    return out


def test_the_run_names_what_it_was_made_with(made: Path) -> None:
    config = RunFolder(made).require_config()
    assert (config.dataset, config.distance, config.net) == ("own:birds", "own:Soft", "Linear")
    assert config.set == (("scale", 4.0),)
    assert f'"{birds().digest}"' in (made / "summary.json").read_text()


def test_with_the_same_objects_it_is_used_like_any_other(made: Path, tmp_path: Path) -> None:
    objects = {"data": birds(), "metric": Soft(4.0), "net": Linear(64, seed=1)}
    tested = lk.evaluate_run(made, {"test_episodes": 7}, **objects)
    assert tested.episodes == 7
    np.testing.assert_array_equal(objects["net"].vector, restore(made, None, net=Linear(64)).checkpoint.net["vector"])
    run = shutil.copytree(made, tmp_path / "run")
    for name in ("summary.json", "manifest.json"):
        (run / name).unlink()
    lk.train(SETTINGS, **objects, out=run, resume=True)
    again, first = (RunFolder(one).summary.read_text() for one in (run, made))
    assert again == first


def test_it_is_compared_and_exported_like_any_other(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "squared"
    lk.train(SETTINGS, data=birds(), metric=lk.SquaredEuclidean(), net=Linear(64), out=other)
    assert "own:Soft,scale=4" in leakysm("compare", other, made).out
    assert leakysm("export", made, "--out", tmp_path / "weights.npz").code == 0
    with np.load(tmp_path / "weights.npz") as weights:
        assert weights["vector"].shape == (256,)
    run = shutil.copytree(made, tmp_path / "run")
    assert leakysm("export", run).out.startswith(f"{run / 'net.safetensors'}: 1 arrays")
    assert "--layout torch is only for Conv4, but the run's net is Linear" in refused(
        "export", made, "--layout", "torch"
    )


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ({}, "the net Linear was made in Python; give the same object again, in Python (leakysm.train, "),
        (
            {"net": Linear(64)},
            "the distance Soft was made in Python; give the same object again, in Python (leakysm.train, "
            "leakysm.evaluate_run): metric=Soft(...)",
        ),
        ({"net": Linear(64), "metric": METRIC}, "the data set birds was made in Python from arrays; give the same"),
        ({"net": Linear(64, width=3)}, "the state holds vector [256], and the net Linear has vector [192]"),
        ({"net": 3}, "net is of type int; an instance of a subclass of leakysm.Net is expected"),
        ({"net": lk.Conv4()}, "net is Conv4, and the run's is Linear; give the run's own"),
        (
            {"net": Linear(64), "metric": lk.RestrictedSquaredEuclidean(Soft(2.0))},
            "metric is Soft scale=2.0 per=pair, and the run's is Soft scale=4.0 per=pair; give the run's own",
        ),
        (
            {"net": Linear(64), "metric": METRIC, "data": birds(images=arrays(1)[0])},
            "not the data of",
        ),
    ],
)
def test_what_is_missing_or_another_is_told(made: Path, objects: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        lk.evaluate_run(made, {}, **objects)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


WAYS = {"way": 2, "test_way": 2}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda out: lk.train({}, data=np.ones(3), out=out), "data is of type ndarray; a leakysm.Dataset is expected"),
        (lambda out: lk.train(None, data=birds(), out=out), "config is None; a TrainConfig or a dictionary"),
        (lambda out: lk.train({}, data=birds(), out=None), "the run's folder is None; a text or a pathlib.Path"),
        (lambda out: lk.train({}, data=birds(), out=""), "the run's folder is empty; a path is expected"),
        (
            lambda out: lk.train(WAYS, data=birds(), out=out, net=lk.Conv4),
            "net is the class Conv4; an instance is expected: give Conv4(...)",
        ),
        (lambda out: lk.train(WAYS, data=birds(), out=out, net=3), "net is of type int; an instance of a subclass"),
        (
            lambda out: lk.train(WAYS, data=birds(), out=out, metric=lk.SquaredEuclidean),
            "metric is the class SquaredEuclidean; an instance is expected: give SquaredEuclidean(...)",
        ),
        (lambda out: lk.train(WAYS, data=birds(), out=out, metric=4), "metric is of type int; an instance of a sub"),
        (lambda out: lk.resolve(None), "given is None; a dictionary of settings is expected"),
        (lambda out: lk.evaluate_run(out, None), "settings is None; a dictionary of settings is expected"),
        (lambda out: lk.evaluate_run(out, {}, data=3), "data is of type int; a leakysm.Dataset is expected"),
        (lambda out: lk.load_dataset(3), "unknown data set 3; choose one of strokes, "),
        (lambda out: lk.load_dataset("folder", 3), "the path is of type int; a text or a pathlib.Path is expected"),
        (lambda out: lk.load_dataset("strokes", seed="a"), "seed is of type str; a whole number is expected"),
        (lambda out: lk.backend(None), "backend is None; choose one of reference, numpy, cupy"),
        (lambda out: lk.metric_named(None), "the distance's name is None; a text is expected"),
        (lambda out: lk.Adam("a"), "learning_rate is a: expected a finite number above 0"),
        (lambda out: lk.SGD(momentum="a"), "momentum is a: expected 0 <= momentum < 1"),
        (lambda out: lk.Adam(halve_every=None), "halve_every is None: expected a number of steps"),
    ],
)
def test_an_object_of_another_kind_is_told(tmp_path: Path, call: Callable[[Path], object], told: str) -> None:
    with pytest.raises(UserError) as caught:
        call(tmp_path / "run")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_of_one_class_is_named(split: str, tmp_path: Path) -> None:
    """Nobody gave a way of 1."""
    splits = {"train": ["a", "b"], "val": ["c", "d"], "test": ["e", "f"]}
    splits[split] = splits[split][:1]
    with pytest.raises(UserError, match=f"the {split} split has 1 class, but an episode needs at least 2; add classes"):
        lk.train({"episodes": 1}, data=birds(splits=splits), out=tmp_path / "run")


def test_splits_of_arrays_have_the_names_that_folders_have() -> None:
    for name in ("val", "valid", "Validation"):
        named = birds(splits={"Train": ["a", "b"], name: ["c", "d"], "test": ["e", "f"]})
        assert list(named.splits) == ["train", "val", "test"]


def test_the_command_line_says_what_is_missing(made: Path) -> None:
    assert "the net Linear was made in Python" in refused("evaluate", made)
    told = leakysm("audit", made)
    assert told.code == 0
    assert "nothing was trained again: it was made from Python objects" in told.out


@pytest.mark.parametrize(
    ("metric", "settings"),
    [
        (lk.LeakySquaredEuclidean(2.0, 0.5), {"distance": "leaky", "threshold": 2.0, "slope": 0.5, "per": "pair"}),
        (lk.RestrictedSquaredEuclidean(lk.Leak(2.0, 0.5)), {"distance": "leaky", "threshold": 2.0, "slope": 0.5}),
        (lk.RestrictedSquaredEuclidean(lk.Log(2.0), "coordinate"), {"distance": "log", "per": "coordinate"}),
        (lk.Euclidean(), {"distance": "euclidean"}),
    ],
)
def test_a_built_in_metric_becomes_settings(metric: lk.Metric, settings: dict[str, Any]) -> None:
    from leakysm.runs.objects import configured

    config = configured(SETTINGS | {"device": "cpu"}, birds(), metric, None)
    assert config.settings() | settings == config.settings()
    assert config.own is None


def test_a_smaller_conv4_trains_and_is_tested(tmp_path: Path, make_data: Callable[..., lk.Dataset]) -> None:
    data = make_data()
    summary = lk.train({**SETTINGS, "channels": 3, "blocks": 2, "device": "cpu"}, data=data, out=tmp_path / "run")
    config = RunFolder(tmp_path / "run").require_config()
    assert (config.channels, config.blocks) == (3, 2)
    engine = lk.backend("numpy", threads=1)
    net = restore(tmp_path / "run", engine).net
    assert net.embedding_size((16, 16, 1)) == 4 * 4 * 3
    assert set(net.state()) == {
        f"block{b}.{n}" for b in (1, 2) for n in ("weight", "scale", "shift", "mean", "variance")
    }
    checkpoint = RunFolder(tmp_path / "run").checkpoint(tmp_path / "run" / "checkpoint-best.h5", config)
    for wrong in ((3, 16), (4, 2)):  # as somebody may have written into config.toml
        with pytest.raises(UserError, match=r"the net 16|block1\.weight has shape"):
            require_sound(checkpoint, "adam", wrong)
    again = lk.evaluate_run(tmp_path / "run", {}, data=data)
    assert again.accuracy == summary.tests[0].accuracy


@pytest.mark.parametrize(("key", "most"), [("blocks", 16), ("channels", 4096)])
def test_a_net_has_a_size_that_can_be_made(key: str, most: int) -> None:
    with pytest.raises(UserError, match=f"{key} is {most + 1}: give {most} or less"):
        checked({key: most + 1})


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"images": np.zeros((24, 8, 8))}, "images are float64 of shape (24, 8, 8); uint8"),
        (
            {"images": np.zeros((24, 3, 8, 8), np.uint8)},
            "looks like (n, C, H, W); (n, H, W, C) is expected: numpy.move",
        ),
        ({"labels": [1, 2]}, "labels have shape (2,); (24,) is expected, one for each image"),
        ({"splits": {"train": ["a"], "test": ["a"]}}, "the class 'a' is in train and in test; leave one out"),
        ({"splits": {"train": ["a", "x"]}}, "train has the class 'x', of which there is no image; labels are 'a', 'b'"),
        ({"splits": {"test": ["a"]}}, "splits are test; 'train' and 'test' are expected"),
        ({"splits": {"train": []}}, "train has no class"),
        ({"splits": {"train": ["a"], "tset": ["b"]}}, "splits has the unknown name 'tset'; did you mean 'test'?"),
        ({"splits": {"dev": ["a"]}}, "splits has the unknown name 'dev'; choose one of train, val, test"),
        ({"splits": {"val": ["a"], "Valid": ["b"]}}, "splits names val twice, once as 'Valid'; leave one out"),
        ({"splits": None}, "splits is None; a dictionary"),
        ({"splits": [["a"], ["b"]]}, "splits is of type list; a dictionary"),
        ({"splits": {"train": 3}}, "splits['train'] is of type int; a list of classes is expected"),
        ({"name": "a/b"}, "name is 'a/b'; letters, digits, spaces"),
        ({"name": 3}, "name is 3; letters, digits, spaces"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(other: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        birds(**other)
    assert told in str(caught.value)


def test_the_digest_is_of_the_content() -> None:
    assert birds().digest == birds(name="crows", splits={k: np.array(v) for k, v in SPLITS.items()}).digest
    assert birds().digest != birds(images=arrays(1)[0]).digest
    assert birds().digest != birds(splits={"train": ["a", "b"], "test": ["d", "e", "f"]}).digest


NET_MISTAKES = {
    "gradient's shape": (
        {"backward": lambda self, x, dz: x.T @ dz},
        "backward of Odd gives a gradient of shape (64, 4)",
    ),
    "gradient's dtype": (
        {"backward": lambda self, x, dz: (x.T @ dz).ravel().astype(float)},
        "backward of Odd gives a gradient of float64; that of its vector is expected, (256,), float32",
    ),
    "no gradient": ({"backward": lambda self, x, dz: None}, "backward of Odd gives a value of type NoneType"),
    "one result": (
        {"forward": lambda self, x: np.zeros((len(x), 4), np.float32)},
        "forward of Odd does not give two results",
    ),
    "embeddings in training": (
        {"forward": lambda self, x: (np.zeros((len(x), 4)), x)},
        "forward of Odd gives an array of float64; shape (4, 4), float32 is expected",
    ),
    "embeddings": (
        {"embed": lambda self, x, norm="": Linear.embed(self, x)[1:]},
        "embed of Odd gives an array of shape",
    ),
    "no norm": ({"embed": lambda self, x: Linear.embed(self, x)}, "Odd: <lambda> raises TypeError"),
    "an error": ({"forward": lambda self, x: x @ x}, "Odd: <lambda> raises, in line"),
}


@pytest.mark.parametrize("name", NET_MISTAKES)
def test_a_mistake_in_a_net_is_told(tmp_path: Path, name: str) -> None:
    methods, told = NET_MISTAKES[name]
    odd = type("Odd", (Linear,), methods)
    with pytest.raises(UserError) as caught:
        lk.train(SETTINGS, data=birds(), net=odd(64), out=tmp_path / "run")
    assert told in str(caught.value)


def test_a_setting_that_an_object_decides_is_refused(tmp_path: Path) -> None:
    for given, key in (({"dataset": "strokes"}, "dataset"), ({"channels": 8}, "channels"), ({"data": "x"}, "data")):
        with pytest.raises(UserError, match=f"{key} is given, but the object decides it; leave it out"):
            lk.train({**SETTINGS, **given}, data=birds(), net=Linear(64), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("episodes", "'episodes' is no setting of a test; did you mean 'test_episodes'?"),
        ("way", "'way' is no setting of a test; choose one of test_way, test_shot"),
        ("test_episodez", "'test_episodez' is no setting of a test; did you mean 'test_episodes'?"),
    ],
)
def test_a_setting_that_is_none_of_a_test_is_refused(tmp_path: Path, key: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        lk.evaluate_run(tmp_path, {key: 5})
    assert told in str(caught.value)
