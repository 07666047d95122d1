"""Compare the files with their manifest, and an implementation with the files, as a reader in any language would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import CheckFailed
from leakysm.ops import registry
from leakysm.small_texts import parse_json
from leakysm.verify.adapters.engine import Engine, EngineImplementation
from leakysm.verify.vectors import nets, rule, stored
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.parameters import parameter
from leakysm.verify.vectors.stored import NETS, OPERATIONS, Group

FEWEST = {OPERATIONS: 390, NETS: 4}  # the counts of the oldest files: cases may be added, never lost


def check_bytes(where: Path) -> dict[str, Any]:
    """CheckFailed unless every file is the manifest's, byte for byte. Returns the manifest.

    Call it before HDF5 opens a file: a few damaged bytes can make HDF5 loop for ever.
    """
    manifest = stored.read_manifest(where)
    for name in FEWEST:
        known = manifest["files"].get(name, {})
        _require(name, "SHA-256", stored.file_sha256(where / name), known.get("sha256"))
    return manifest


def check_files(
    where: Path,
    fewest: Mapping[str, int] = FEWEST,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """CheckFailed unless every file is the manifest's, byte for byte and case for case. Returns cases per file."""
    manifest, counts = check_bytes(where), {}
    for name, least in fewest.items():
        known = manifest["files"][name]
        groups = stored.read(where / name)
        _require(name, "number of cases", len(groups), known.get("count"))
        if len(groups) < least:
            raise CheckFailed(f"{where / name} holds {len(groups)} cases; at least {least} are expected: {stored.MEND}")
        for done, (case, group) in enumerate(groups.items(), 1):
            progress(done, len(groups))
            _require(f"{name}: {case}", "content digest", group.digest(), known["cases"].get(case))
        counts[name] = len(groups)
    return counts


def read_checked(
    where: Path, manifest: Mapping[str, Any], operation: str | None = None, *, arrays: bool = True
) -> dict[str, Group]:
    """The stored cases, or those of an operation, of a folder whose bytes were checked.

    arrays: False leaves the arrays out. CheckFailed unless each case that has them has the manifest's digest.
    """
    groups: dict[str, Group] = {}
    for name in FEWEST:
        found = stored.read(where / name, operation, arrays=arrays)
        for case, group in found.items() if arrays else ():
            known = manifest["files"][name]["cases"].get(case)
            _require(f"{name}: {case}", "content digest", group.digest(), known)
        groups |= found
    return groups


def _require(what: str, kind: str, actual: Any, expected: Any) -> None:
    if actual != expected:
        raise CheckFailed(f"{what}: the {kind} is {actual}; the manifest says {expected}: {stored.MEND}")


@dataclass
class Comparisons:
    """The number of cases, the number of comparisons (a case in a dtype), and each result that breaks its bound."""

    cases: int = 0
    comparisons: int = 0
    failures: list[str] = field(default_factory=list)


def check_engine(
    engine: Engine,
    groups: Mapping[str, Group],
    net_class: nets.NetClass,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparisons:
    """Run an engine on stored inputs of operations or nets, in float32 and float64; compare with the stored results.

    groups: cases in any format. net_class: leakysm.Conv4, which runs the whole nets.
    """
    groups = {case: upgraded(group) for case, group in groups.items()}
    of_nets = {case: group for case, group in groups.items() if case.startswith("conv4/")}
    operations = {case: group for case, group in groups.items() if case not in of_nets}
    checked = check_operations(engine, operations, progress=progress)
    for case, group in of_nets.items():
        checked.cases += 1
        net, metric = _net(group), parameter(parse_json(group.contents["parameters"].encode())["distance"])
        for dtype in ("float32", "float64"):
            checked.comparisons += 1
            results = nets.computed_results(net, metric, engine, dtype, net_class)
            checked.failures += [f"{case}: {text}" for text in rule.failures(group, "value", results, dtype)]
    return checked


def check_operations(
    engine: Engine, groups: Mapping[str, Group], *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Comparisons:
    """Compare an engine's results with the stored cases of operations; whole nets are left out."""
    checked, implementation = Comparisons(), EngineImplementation(engine)
    for done, (case, group) in enumerate(groups.items()):
        progress(done, len(groups))
        checked.cases += 1
        for dtype in ("float32", "float64"):
            if dtype in group.description["dtypes"].split(","):
                checked.comparisons += 1
                checked.failures += _compare(implementation, case, group, dtype)
    return checked


def _arguments(group: Group, operation: str, dtype: str) -> list[Any]:
    arrays = [(a.kind, group.arrays[f"arguments/{a.name}"]) for a in registry.OPERATIONS[operation].arguments]
    return [a.astype(dtype) if kind == "array" else int(a) if kind == "count" else a for kind, a in arrays]


def _compare(implementation: EngineImplementation, case: str, group: Group, dtype: str) -> list[str]:
    operation = case.partition("/")[0]
    definition = registry.OPERATIONS[operation]
    parameters = {k: parameter(v) for k, v in parse_json(group.contents["parameters"].encode()).items()}
    arguments = _arguments(group, operation, dtype)
    dy = group.arrays["arguments/dy"].astype(dtype)
    gradients = ["d" + a.name for a in definition.arguments if a.kind == "array"]
    with np.errstate(all="ignore"):
        y = implementation.value(operation, arguments, parameters)
        dx = implementation.vjp(operation, arguments, dy, parameters)
    wrong = rule.failures(group, "value", dict(zip(definition.outputs, y, strict=True)), dtype)
    wrong += rule.failures(group, "vjp", dict(zip(gradients, dx, strict=True)), dtype)
    return [f"{case}: {text}" for text in wrong]


def _net(group: Group) -> nets.Net:
    parameters = {k.removeprefix("arguments/"): v for k, v in group.arrays.items() if k.startswith("arguments/block")}
    return nets.Net(parameters, group.arrays["arguments/images"], group.arrays["arguments/support_labels"])
