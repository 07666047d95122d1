"""The reference engine: the reference operations, on NumPy arrays."""

from __future__ import annotations

from leakysm.backends.protocol import Engine


class ReferenceEngine(Engine):
    """Every registered operation, untuned, through `reference_pair`."""

    name = "reference"

    def __init__(self) -> None:
        self.pairs = {}
