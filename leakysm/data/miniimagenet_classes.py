"""What makes a data set miniImageNet: the classes of the published split. No other data set may have its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from leakysm.errors import UserError

CLASSES = {"train": 64, "val": 16, "test": 20}  # Ravi and Larochelle's split
_WNID = re.compile(r"n\d{8}")
_MEND = "use --dataset caltech101 (tables) or --dataset folder for other images"


def refuse_other_classes(place: Path, classes: Mapping[str, Sequence[str]]) -> None:
    """UserError unless each split's classes are ImageNet's (n and 8 digits), 64 / 16 / 20 of train / val / test."""
    for split, names in classes.items():
        strange = [name for name in names if not _WNID.fullmatch(name)]
        if strange:
            raise UserError(
                f"{place} is not miniImageNet: {len(strange)} of {len(names)} {split} classes are named like "
                f"'{strange[0]}', expected ImageNet's names like 'n01532829'; {_MEND}"
            )
    counts = {split: len(names) for split, names in classes.items()}
    if counts != CLASSES:
        raise UserError(
            f"{place} is not the published miniImageNet: {_listed(counts)} classes, expected {_listed(CLASSES)}; "
            f"{_MEND}"
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items())
