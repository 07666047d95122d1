"""Convert format 1 of the files to today's: old vectors are read for ever.

In format 1, k is one number, n is the number of smallest normal numbers for a whole array, and the alternatives are
numbered combinations that have no scale of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leakysm.verify.vectors.stored import FORMAT, Group


def upgraded(group: Group) -> Group:
    """The group in today's format; itself if it has that format already."""
    if group.format == FORMAT:
        return group
    arrays: dict[str, Any] = {}
    alternatives: dict[tuple[str, str], list[Any]] = {}
    for path, array in group.arrays.items():
        parent, _, last = path.rpartition("/")
        if path.startswith("alternatives/"):
            _, dtype, _, gradient = path.split("/")
            alternatives.setdefault((dtype, gradient), []).append(array)
        elif last == "k":
            arrays |= {f"{parent}/worst": array, f"{parent}/usual": array}
            arrays[f"{parent}/under"] = group.arrays.get(f"{parent}/n", np.asarray(0)).astype(np.float64)
        elif last != "n":
            arrays[path] = array
    for (dtype, gradient), others in alternatives.items():
        at = f"alternatives/{dtype}/{gradient}"
        arrays[f"{at}/expected"] = np.stack(others)
        arrays |= {f"{at}/{key}": arrays[f"vjp/{gradient}/{key}"] for key in ("scale", "under")}
    return Group(arrays, group.contents | {"one_way": ""}, {"own": "false"} | group.description)
