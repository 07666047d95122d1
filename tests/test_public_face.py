"""What `import leakysm` offers, and what it leaves alone until it is used. Signatures: see tests/unchanged/names.py."""

import subprocess
import sys

import pytest

import leakysm as lk
from leakysm.ops.metrics import METRICS
from leakysm.ops.restriction import RESTRICTIONS

LIGHT = ("leakysm", "leakysm.errors", "leakysm.files", "leakysm.strict_json")


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_no_numpy(module):
    code = f"import sys, {module}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    for name in lk.__all__:
        assert getattr(lk, name) is not None
        assert name in dir(lk)
    assert len(set(lk.__all__)) == len(lk.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'leakysm' has no attribute 'leeky'"):
        _ = lk.leeky


def test_every_operation_metric_and_restriction_is_public():
    missing = sorted({kind.__name__ for kind in (*METRICS.values(), *RESTRICTIONS.values())} - set(lk.ops.__all__))
    assert not missing, f"{missing}: add to the imports and to __all__ in leakysm/ops/__init__.py"
    missing = sorted(set(lk.ops.__all__) - set(lk.__all__))
    assert not missing, f"{missing}: add to the imports and to __all__ in leakysm/__init__.py"
