"""Compute the vectors: every fixed case of every registered operation that is stored, and the whole-net cases.

Vectors that are made again must be the shipped ones: each 50-digit case must have the same content digest, each
float64 case must lie within its bound. A case may be added (a minor version). None may change or disappear (a major
version).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed, UserError
from leakysm.strict_json import json_text
from leakysm.verify import entries  # noqa: F401  (registers the package's operations)
from leakysm.verify.adapters.engine import Engine
from leakysm.verify.bounds import Exact, Precision, Severity
from leakysm.verify.registry import ENTRIES, Truth
from leakysm.verify.vectors import alternatives, nets, stored
from leakysm.verify.vectors.alternatives import coarse, short
from leakysm.verify.vectors.checks import check_files
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.parameters import plain
from leakysm.verify.vectors.stored import NETS, OPERATIONS, Group

FILES = ("float32", "float64")  # the dtypes that the files are made for
FILES_MADE = (OPERATIONS, NETS)
HALF_UNIT = 0.5  # the expected values are themselves rounded to float64: at most eps / 2 of the scale


def operation_groups() -> dict[str, Group]:
    """operation/case -> its group, for all fixed cases that are stored: large, sampled ones are not."""
    truths = [truth for entry in ENTRIES.values() for truth in entry.truths]
    return {truth.case.id: case_group(truth) for truth in truths if truth.case.stored}


def case_group(truth: Truth) -> Group:
    """One case: inputs, parameters, cotangent, exact results with scale, underflow and factors, and alternatives."""
    case, entry = truth.case, truth.entry
    group = Group(
        contents={
            "parameters": json_text({k: plain(v) for k, v in case.parameters.items()}, sort_keys=True),
            "one_way": ",".join(case.one_way),
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
    others = {dtype: alternatives.of(truth, Precision(dtype)) for dtype in FILES if dtype in case.dtypes}
    for part, name, exact in alternatives.results(truth):
        _add_result(group, f"{part}/{name}", exact, truth, max((o[name].shift for o in others.values()), default=0.0))
        for dtype, by_name in others.items():
            group.arrays |= by_name[name].arrays(f"alternatives/{dtype}/{name}")
    return group


def _add_result(group: Group, at: str, exact: Exact, truth: Truth, shift: float) -> None:
    name = at.rpartition("/")[2]
    group.arrays[f"{at}/expected"] = exact.high
    group.arrays[f"{at}/scale"] = coarse(exact.scale)
    group.arrays[f"{at}/under"] = coarse(exact.under)
    for severity in ("worst", "usual"):
        k = truth.factor(name, Severity("any", usual=severity == "usual"))
        group.arrays[f"{at}/{severity}"] = np.asarray(k + shift + HALF_UNIT)
    if np.any(exact.reach > exact.scale):
        group.arrays[f"{at}/reach"] = short(exact.reach)


@dataclass
class MakeResult:
    """The ids of the cases that were made, sorted by how they compare with the vectors that were there before."""

    same: list[str] = field(default_factory=list)
    within_bound: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


Files = Mapping[str, Mapping[str, Group]]


def make(
    out: Path,
    reference: Engine,
    net_class: nets.NetClass,
    *,
    shipped: Path | None = None,
    major: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MakeResult:
    """Compute all vectors and publish them to a folder.

    reference, net_class: the reference engine and leakysm.Conv4, which compute the large nets. shipped: the vectors to
    compare with, which must be undamaged (default: the installed ones, if any). major: allow cases to change.
    """
    named, shipped = shipped is not None, shipped or stored.folder()
    _require_own(out)
    if named or (shipped / stored.MANIFEST).is_file():
        check_files(shipped)
    progress(0, 2)
    operations = operation_groups()
    progress(1, 2)
    whole_nets, within = nets.groups(_read_if_there(shipped / NETS), reference, net_class)
    return publish(out, {OPERATIONS: operations, NETS: whole_nets}, within, shipped=shipped, major=major)


def publish(out: Path, files: Files, within: list[str], *, shipped: Path, major: bool = False) -> MakeResult:
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
            f"none is expected to: correct the oracle or case, or make a major version with --major"
        )
    _require_own(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, groups in files.items():
        stored.write(out / name, groups)
    stored.write_manifest(out, manifest(out, files, _next_version(str(before["version"]), remade)))
    return remade


def _require_own(out: Path) -> None:
    """UserError unless the folder is empty, new, or one of vectors. Only files that hold vectors are replaced."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, and a folder is expected; give --out an empty folder, or a new one")
    if not out.is_dir():
        return
    there = sorted(path.name for path in out.iterdir() if path.name[0] != ".")
    other = [name for name in there if name not in FILES_MADE]
    if other and stored.MANIFEST not in other:
        raise UserError(f"{out} holds something else ({other[0]}); give --out an empty folder, or a new one")
    for name in there:
        if name in (*FILES_MADE, stored.MANIFEST) and not _holds_vectors(out / name):
            raise UserError(f"{out / name} holds no vectors; give --out an empty folder or a new one, or remove it")


def _holds_vectors(path: Path) -> bool:
    """Whether this is a manifest or a file of vectors, by its content."""
    try:
        _ = stored.read_manifest(path.parent) if path.name == stored.MANIFEST else stored.read(path, arrays=False)
    except (UserError, CheckFailed):
        return False
    return True


def _read_if_there(path: Path) -> dict[str, Group]:
    return {case: upgraded(group) for case, group in stored.read(path).items()} if path.is_file() else {}


def compare(before: Mapping[str, Any], files: Files, within: list[str]) -> MakeResult:
    """Sort the cases by content digest: same, added, changed or missing."""
    remade = MakeResult(within_bound=within)
    for name, groups in files.items():
        known: dict[str, str] = before["files"].get(name, {}).get("cases", {})
        remade.missing += sorted(set(known) - set(groups))
        for case, group in groups.items():
            fate = (
                remade.added if case not in known else remade.same if known[case] == group.digest() else remade.changed
            )
            fate.append(case)
    return remade


def _next_version(version: str, remade: MakeResult) -> str:
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
