"""What makes a data set miniImageNet, so that no other goes by its name: the classes of the published split."""

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
    found = {split: len(names) for split, names in classes.items()}
    if found != CLASSES:
        raise UserError(
            f"{place} is not the published miniImageNet: {_listed(found)} classes, expected {_listed(CLASSES)}; {_MEND}"
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items())
