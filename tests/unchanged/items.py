"""All that is recorded, by name. An item is a function: an empty folder in, what it found out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.unchanged import configs, names, options, run_folder, training, vectors, verify
from tests.unchanged.looked import Looked

ITEMS: dict[str, Callable[[Path], Looked]] = {
    name: item
    for part in (training, run_folder, vectors, verify, options, configs, names)
    for name, item in part.ITEMS.items()
}


def look(name: str) -> Looked:
    """Look at an item, in a folder and with a data cache that go again."""
    with tempfile.TemporaryDirectory() as folder, own_cache(Path(folder) / "cache"):
        work = Path(folder) / "work"
        work.mkdir()
        return ITEMS[name](work)


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Neither read nor leave anything in the user's cache. Afterwards the environment is as it was."""
    with patch.dict(os.environ, LEAKYSM_CACHE=str(folder)):
        yield
