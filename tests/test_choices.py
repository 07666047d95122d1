"""What a user can choose: the registries know every name, and the table of settings is a run's."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields

import pytest

from leakysm import choices
from leakysm.errors import UserError
from leakysm.ops.metrics import DISTANCES, LeakySquaredEuclidean
from leakysm.ops.restriction import Leak
from leakysm.optim import OPTIMIZERS
from leakysm.runs.settings import TrainConfig, checked


def test_the_registries_know_the_names_that_can_be_chosen() -> None:
    assert tuple(DISTANCES) == choices.DISTANCES, "the names of leakysm/ops/metrics.py and leakysm/choices.py"
    assert tuple(OPTIMIZERS) == choices.OPTIMIZERS
    assert LeakySquaredEuclidean().parameters == choices.LEAKY


def test_the_table_of_settings_is_that_of_a_run() -> None:
    assert (*choices.SETTINGS, "own") == tuple(field.name for field in fields(TrainConfig))
    assert set(choices.DATASET_DEFAULTS) == set(choices.DATASETS)
    assert set(choices.ALSO_CALLED.values()) <= set(choices.SETTINGS)
    assert set(choices.ALSO_CALLED).isdisjoint(choices.SETTINGS)


@pytest.mark.parametrize("dataset", choices.DATASETS)
def test_every_default_is_one_that_its_setting_takes(dataset: str) -> None:
    general = {key: setting.default for key, setting in choices.SETTINGS.items()}
    defaults = general | choices.LEAKY | choices.DATASET_DEFAULTS[dataset]
    given = {key: value for key, value in defaults.items() if value is not None}
    assert checked(defaults) == given


@pytest.mark.parametrize("value", [-1.0, -0.0, 0.0, 5e-324, 0.5, 1.0, math.nextafter(1, 2), 1e300, math.inf, math.nan])
@pytest.mark.parametrize("key", ["threshold", "slope"])
def test_the_ranges_of_the_leaky_distance_are_its_operations(key: str, value: float) -> None:
    def refused(call: object) -> bool:
        try:
            call()  # type: ignore[operator]
        except UserError:
            return True
        return False

    parameters = {"threshold": 1.0, "slope": 0.5, key: value}
    assert refused(lambda: checked({key: value})) == refused(lambda: Leak(**parameters))


def test_every_setting_has_a_sentence_of_help() -> None:
    for key, setting in choices.SETTINGS.items():
        assert setting.help[0].isupper(), key
        assert setting.help.endswith("."), key
        assert not setting.help.startswith("Of "), key


def test_reading_the_choices_imports_nothing_of_the_package() -> None:
    code = (
        "import sys, leakysm.choices; print(*(m for m in sys.modules if m.partition('.')[0] in ('leakysm', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["leakysm", "leakysm.choices"]
