"""Configurations: the same object back from their TOML, and a line that names what is wrong with any other."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leakysm.errors import UserError
from leakysm.runs import TrainConfig
from leakysm.runs.settings import checked, differing, read_settings

Make = Callable[..., TrainConfig]

changes = st.fixed_dictionaries(
    {},
    optional={
        "data": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "threshold": st.floats(min_value=0) | st.just(float("inf")),
        "slope": st.floats(0, 1, exclude_min=True),
        "test_way": st.lists(st.integers(2, 1000), min_size=1, max_size=4, unique=True).map(tuple),
        "learning_rate": st.floats(min_value=0, allow_infinity=False, exclude_min=True),
        "seed": st.integers(0, 2**63 - 1),
        "per": st.sampled_from(["pair", "coordinate"]),
    },
)


def test_the_number_of_threads_is_the_machines(tmp_path: Path, config: Make) -> None:
    assert config(threads=3).to_toml() == config(threads=None).to_toml()
    (tmp_path / "older.toml").write_text(f"{config().to_toml()}threads = 3\n")
    assert TrainConfig(**read_settings(tmp_path / "older.toml")) == config(threads=3)
    (tmp_path / "older.toml").write_text(f'{config().to_toml()}convolution = "winograd"\n')
    assert TrainConfig(**read_settings(tmp_path / "older.toml")) == config()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=changes)
def test_toml_gives_the_same_configuration_back(tmp_path: Path, config: Make, changed: dict[str, Any]) -> None:
    original = config(**changed)
    file = tmp_path / "config.toml"
    file.write_bytes(original.to_toml().encode())
    assert TrainConfig(**read_settings(file)) == original
    assert set(tomllib.loads(original.to_toml())) == set(original.settings())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("learnign_rate = 1", "unknown setting 'learnign_rate'; did you mean 'learning_rate'?"),
        ("[train]\nway = 5", "[train] is a table; write its settings without it"),
        ("zzz = 1", "unknown setting 'zzz'; choose one of dataset, data, split"),
        ("way = 2.5", "way is 2.5: expected a whole number"),
        ("way = true", "way is True: expected a whole number"),
        ("slope = 'x'", "slope is 'x': expected a number"),
        ("dataset = 3", "dataset is 3: choose one of strokes, omniglot"),
        ("dataset = 'omnigot'", "dataset is 'omnigot': did you mean 'omniglot'?"),
        ("test_way = [5, 'x']", "test_way holds 'x': expected a whole number"),
        ("test_way = []", "test_way is []: give at least one value"),
        ("test_way = [5, 3, 5]", "test_way is [5, 3, 5]: 5 is given twice; leave one out"),
        ("learning_rate = -1", "learning_rate is -1: expected 0 < learning_rate < inf"),
        ("learning_rate = inf", "learning_rate is inf: expected 0 < learning_rate < inf"),
        ("shot = 0", "shot is 0: give 1 or more"),
        ("seed = 9223372036854775808", "seed is 9223372036854775808: give 9223372036854775807 or less"),
        ("test_way = [5, 1]", "test_way holds 1: give 2 or more"),
        ("way = ", "is not TOML"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    with pytest.raises(UserError) as caught:
        read_settings(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mark_before_the_first_line_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("way = 7\n", "utf-8-sig")
    assert read_settings(tmp_path / "settings.toml") == {"way": 7}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml does not exist"):
        read_settings(tmp_path / "absent.toml")


def test_whole_numbers_do_where_numbers_are_wanted_and_one_way_where_a_list_is(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("threshold = 2\ntest_way = 7\n")
    assert read_settings(file) == {"threshold": 2.0, "test_way": (7,)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slope": 0.0}, "slope"),
        ({"slope": 1.5}, "slope"),
        ({"threshold": -1.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"distance": "euclidean"}, "euclidean has no threshold"),
        ({"dataset": "folder", "data": "/a/\udcff"}, r"data is /a/\\xff: it cannot be written to config.toml"),
        (
            {"products": "tf32"},
            "products is 'tf32', which works only on a GPU, but the device is cpu; leave it out, or",
        ),
        ({"backend": "torch"}, "backend is 'torch': choose one of reference, numpy, cupy"),
    ],
)
def test_a_configuration_out_of_range_cannot_be_made(config: Make, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**settings)


def test_the_differing_key_is_named(config: Make) -> None:
    stored = config()
    assert differing(stored, {}) is None
    assert differing(stored, {"way": 3, "slope": 0.1}) is None
    assert differing(stored, {"way": 3, "slope": 0.2}) == "slope"
    assert differing(stored, {"threads": 2}) == "threads"


def test_what_a_configuration_does_not_name_is_as_usual(config: Make) -> None:
    stored = config()
    assert "channels" not in stored.to_toml()
    assert differing(stored, {"channels": 64}) is differing(stored, {"channels": None}) is None
    assert differing(stored, {"channels": 8}) == differing(config(channels=8), {"channels": 64}) == "channels"


def test_numpys_numbers_are_numbers() -> None:
    given = {"way": np.int64(5), "slope": np.float32(0.5), "test_way": np.array([3, 5]), "test_shot": None}
    assert checked(given) == checked({"way": 5, "slope": 0.5, "test_way": [3, 5]})
