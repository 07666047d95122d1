"""How matrix products are made is the user's choice. A run's configuration keeps it. Without a GPU there is none."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

import leakysm as lk
from leakysm.backends.cupy import engine
from leakysm.errors import UserError
from leakysm.runs import RunFolder, TrainConfig, folder, run
from leakysm.runs.settings import read_settings
from tests.training.test_trainer_on_device import config


class Opened(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("settings", [{}, {"products": "float32"}, {"products": "split"}, {"products": "tf32"}])
def test_a_run_opens_the_engine_as_configured(monkeypatch, tmp_path, settings):
    def opened(device, *, products):
        raise Opened(device, products)

    monkeypatch.setattr(engine, "CupyEngine", opened)
    images, labels = np.zeros((4, 28, 28), np.uint8), [0, 1, 2, 3]
    data = lk.Dataset.from_arrays(images, labels, splits={"train": [0, 1], "test": [2, 3]}, name="blank")
    with pytest.raises(Opened) as seen:
        run.train(config(**settings), data=data, out=tmp_path)
    assert seen.value.args == ("cuda:0", settings.get("products", "float32"))


def test_the_configuration_keeps_it():
    chosen = config(products="split")
    assert TrainConfig(**tomllib.loads(chosen.to_toml())) == chosen
    assert "products" not in tomllib.loads(config().to_toml())
    with pytest.raises(UserError, match="products is 'tf23': did you mean 'tf32'"):
        config(products="tf23")


@pytest.mark.parametrize(("older", "products"), [("true", "tf32"), ("false", "float32")])
def test_a_configuration_of_an_older_version_is_read(tmp_path, older, products):
    stored = config(products=products)
    text = stored.to_toml().replace(f'products = "{products}"', f"tf32 = {older}")
    assert text != stored.to_toml()
    (tmp_path / "config.toml").write_text(text)
    assert RunFolder(tmp_path).stored_config() == stored
    assert folder._as_written_now(f"{text}threads = 3\n") == stored.to_toml()  # that of a checkpoint


def test_an_older_name_is_refused_where_it_says_nothing(tmp_path):
    (tmp_path / "settings.toml").write_text('tf32 = true\nproducts = "split"\n')
    with pytest.raises(UserError, match="unknown setting 'tf32'; did you mean 'products'"):
        read_settings(tmp_path / "settings.toml")


@pytest.mark.parametrize("name", ["numpy", "reference"])
def test_a_cpu_has_one_way(name):
    assert lk.backend(name, products="float32").name == name
    with pytest.raises(UserError, match="products is 'split', which works only on a GPU"):
        lk.backend(name, products="split")
    with pytest.raises(UserError, match="products is 'float'; did you mean 'float32'"):
        lk.backend(name, products="float")
