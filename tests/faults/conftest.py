"""The processes with their imports done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.faults.commands import Commands
from tests.faults.formats import FORMATS
from tests.faults.search import Reader
from tests.faults.shim import COMPILER, compiled
from tests.faults.warm import Warm

if sys.platform != "linux":
    pytest.skip("forks, LD_PRELOAD and /proc are Linux's", allow_module_level=True)


@pytest.fixture(scope="package")
def warm() -> Iterator[Warm]:
    """A process whose children read files."""
    with Warm() as process:
        yield process


@pytest.fixture(scope="package")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """The commands that write, under the shim."""
    if not COMPILER:
        pytest.skip("no gcc, which makes the shim that lets writes fail")
    place = tmp_path_factory.mktemp("commands")
    with Warm(preload=compiled(place)) as process:
        yield Commands(process, place)


@pytest.fixture(scope="package")
def reader_of(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    """The reader of a format by its name. Formats that begin alike share their folder."""
    root = tmp_path_factory.mktemp("formats")
    return cache(lambda name: Reader(warm, FORMATS[name], root))
