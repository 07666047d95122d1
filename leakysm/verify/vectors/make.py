"""Working the vectors out: every fixed case of every registered operation, and the whole-net cases.

Remade vectors must be the shipped ones: the content digest of every 50-digit case must be equal, the float64 cases must
lie within their bound. A case may be added (a minor version), none may change or disappear (a major one).
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.bounds import Exact, Floats, Precision
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.vectors import nets, stored
from leakysm.verify.vectors.checks import check_files
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.parameters import plain
from leakysm.verify.vectors.stored import NETS, OPERATIONS, Group

HALF_UNIT = 0.5  # the expected values are themselves rounded to float64: at most eps / 2 of the scale


def operation_groups() -> dict[str, Group]:
    """operation/case -> its group, for all fixed cases that are stored: large, sampled ones are not."""
    truths = [truth for entry in ENTRIES.values() for truth in entry.truths]
    return {truth.case.id: case_group(truth) for truth in truths if getattr(truth.case, "stored", True)}


def case_group(truth: Truth) -> Group:
    """Inputs, parameters, cotangent, exact results with scale, underflow and factors, alternatives for open choices."""
    case, entry = truth.case, truth.entry
    group = Group(
        contents={
            "parameters": json.dumps({k: plain(v) for k, v in case.parameters.items()}, sort_keys=True),
            "one_way": ",".join(_one_way(truth)),
        },
        description={
            "flags": ",".join(case.flags),
            "note": case.note,
            "dtypes": ",".join(case.dtypes),
            "own": str(case.own).lower(),
        },
    )
    for argument, value in zip(entry.definition.arguments, case.arguments, strict=True):
        group.arrays[f"arguments/{argument.name}"] = np.asarray(
            value, dtype=None if argument.kind == "array" else np.int64
        )
    group.arrays["arguments/dy"] = np.asarray(case.dy, dtype=np.float64)
    _add_results(group, "value", entry.definition.outputs, truth.value, truth)
    _add_results(group, "vjp", entry.gradients, truth.vjp, truth)
    for dtype in ("float32", "float64"):
        for name, others in _alternatives(truth, Precision(dtype)).items():
            _add_alternatives(group, f"alternatives/{dtype}/{name}", others)
    return group


def _add_results(group: Group, part: str, names: tuple[str, ...], exacts: tuple[Exact, ...], truth: Truth) -> None:
    for name, exact in zip(names, exacts, strict=True):
        at = f"{part}/{name}"
        bound = _bound_of(exact, truth, name)
        group.arrays[f"{at}/expected"] = exact.high
        group.arrays[f"{at}/scale"] = _short(exact.scale64)
        group.arrays[f"{at}/under"] = _short(bound.under)
        group.arrays[f"{at}/worst"] = np.asarray(bound.worst + HALF_UNIT)
        group.arrays[f"{at}/usual"] = np.asarray(bound.usual + HALF_UNIT)
        if np.any(exact.reach64 > exact.scale64):
            group.arrays[f"{at}/reach"] = _short(exact.reach64)


def _add_alternatives(group: Group, at: str, others: Sequence[Exact]) -> None:
    """Each different one once, stacked."""
    name = at.rpartition("/")[2]
    distinct = {other.high.tobytes(): other for other in others}
    distinct.pop(group.arrays[f"vjp/{name}/expected"].tobytes(), None)
    if distinct:
        chosen = list(distinct.values())
        group.arrays[f"{at}/expected"] = np.stack([other.high for other in chosen])
        group.arrays[f"{at}/scale"] = _short(np.stack([other.scale64 for other in chosen]))
        group.arrays[f"{at}/under"] = _short(np.stack([_under(other) for other in chosen]))


def _short(array: Floats) -> Floats:
    """One number where all are the same."""
    return array.ravel()[0].reshape(()) if array.size and np.all(array == array.ravel()[0]) else array


# What the verifier knows of a case's bounds, for the files.


@dataclass(frozen=True)
class _Bound:
    """For an implementation that may add in any order. under: an array of the result's shape."""

    worst: float
    usual: float
    under: Floats


def _bound_of(exact: Exact, truth: Truth, name: str) -> _Bound:
    k = truth.factor(name)
    return _Bound(worst=k, usual=k, under=_under(exact))


def _under(exact: Exact) -> Floats:
    return np.broadcast_to(np.asarray(exact.terms, dtype=np.float64), exact.shape)


def _one_way(truth: Truth) -> tuple[str, ...]:
    """The dtypes in which all roundings of a case may go one way."""
    return truth.case.dtypes if "one-way" in truth.case.flags else ()


def _alternatives(truth: Truth, precision: Precision) -> Mapping[str, Sequence[Exact]]:
    """gradient -> the other values that its elements may have, each element for itself."""
    others = truth.alternatives(precision) or ()
    return {name: [other[i] for other in others] for i, name in enumerate(truth.entry.gradients)}


@dataclass
class Remade:
    """What making the vectors came to, against those that were there before."""

    same: list[str] = field(default_factory=list)
    within_bound: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


Files = Mapping[str, Mapping[str, Group]]


def make(
    out: Path,
    *,
    shipped: Path | None = None,
    major: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Remade:
    """Work all vectors out and publish them to a folder.

    shipped: the vectors to compare with (default: the installed ones, if any), which must be whole. major: let cases
    change.
    """
    named, shipped = shipped is not None, shipped or stored.folder()
    if named or (shipped / stored.MANIFEST).is_file():
        check_files(shipped)
    progress(0, 2)
    operations = operation_groups()
    progress(1, 2)
    whole_nets, within = nets.groups(_read_if_there(shipped / NETS))
    return publish(out, {OPERATIONS: operations, NETS: whole_nets}, within, shipped=shipped, major=major)


def publish(out: Path, files: Files, within: list[str], *, shipped: Path, major: bool = False) -> Remade:
    """Write the files and a manifest with the next version. CheckFailed if a case would change or disappear."""
    there = (shipped / stored.MANIFEST).is_file()
    before = stored.read_manifest(shipped) if there else {"version": "0.0.0", "files": {}}
    remade = compare(before, files, within)
    if before.get("format", stored.FORMAT) != stored.FORMAT and not major:
        raise CheckFailed(
            f"the reference vectors in {shipped} are of format {before['format']}, those made are of format "
            f"{stored.FORMAT}: every case changes; make a major version with --major"
        )
    if (remade.changed or remade.missing) and not major:
        names = ", ".join((remade.changed + remade.missing)[:3])
        raise CheckFailed(
            f"{len(remade.changed)} reference vectors would change and {len(remade.missing)} disappear ({names}); "
            f"none is expected to: mend the oracle or the case, or make a major version with --major"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name, groups in files.items():
        stored.write(out / name, groups)
    stored.write_manifest(out, manifest(out, files, _next_version(str(before["version"]), remade)))
    return remade


def _read_if_there(path: Path) -> dict[str, Group]:
    return {case: upgraded(group) for case, group in stored.read(path).items()} if path.is_file() else {}


def compare(before: Mapping[str, Any], files: Files, within: list[str]) -> Remade:
    """Which cases are the same by content digest, new, changed, or gone."""
    remade = Remade(within_bound=within)
    for name, groups in files.items():
        known: dict[str, str] = before["files"].get(name, {}).get("cases", {})
        remade.missing += sorted(set(known) - set(groups))
        for case, group in groups.items():
            fate = (
                remade.added if case not in known else remade.same if known[case] == group.digest() else remade.changed
            )
            fate.append(case)
    return remade


def _next_version(version: str, remade: Remade) -> str:
    major, minor, _ = map(int, version.split("."))
    if remade.changed or remade.missing or major == 0:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if remade.added else version


def manifest(where: Path, files: Files, version: str) -> dict[str, Any]:
    """Version, generator, and for each file its size, SHA-256, number of cases and their content digests."""
    return {
        "format": stored.FORMAT,
        "version": version,
        "generator": f"leakysm {importlib.metadata.version('leakysm')}",
        "files": {
            name: {
                "bytes": (where / name).stat().st_size,
                "sha256": stored.file_sha256(where / name),
                "count": len(groups),
                "cases": {case: group.digest() for case, group in sorted(groups.items())},
            }
            for name, groups in files.items()
        },
    }
