"""The shipped reference vectors: whole, reproducible, and kept by our engines."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import leakysm as lk
from leakysm.errors import CheckFailed, UserError
from leakysm.verify.registry import ENTRIES
from leakysm.verify.vectors import nets, rule, stored
from leakysm.verify.vectors.checks import FEWEST, check_engine, check_files, parameter
from leakysm.verify.vectors.make import compare, make, publish
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.stored import MANIFEST, NETS, OPERATIONS

SHIPPED = stored.folder()
OLD = Path(__file__).parent / "data" / "format-1"
ANY = {OPERATIONS: 0, NETS: 0}  # how many cases there must be


@pytest.fixture(scope="module")
def groups() -> dict[str, stored.Group]:
    return {name: upgraded(group) for name, group in stored.read(SHIPPED / OPERATIONS).items()}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A few cases of every kind."""
    for name in (OPERATIONS, NETS, MANIFEST):
        (tmp_path / name).write_bytes((OLD / name).read_bytes())
    return tmp_path


def test_the_files_are_the_manifests_and_small() -> None:
    counts = check_files(SHIPPED)
    assert counts["operations.h5"] >= 500
    assert counts["nets.h5"] >= FEWEST["nets.h5"]
    assert (
        sum(path.stat().st_size for path in SHIPPED.glob("*.*")) < 13_000_000
    )  # half of that once packed in the wheel, which is to stay below 8 MB


def test_the_nets_are_remade_exactly_or_within_their_bound() -> None:
    """The operations' cases are remade by tests/unchanged, which compares their digests."""
    shipped = stored.read_manifest(SHIPPED)
    shipped["files"] = {NETS: shipped["files"][NETS]}
    before = {case: upgraded(group) for case, group in stored.read(SHIPPED / NETS).items()}
    made, within = nets.groups(before, lk.backend("reference"), lk.Conv4)
    remade = compare(shipped, {NETS: made}, within)
    assert (remade.changed, remade.missing, remade.added) == ([], [], [])
    assert remade.within_bound == ["conv4/full-squared", "conv4/full-leaky"]


@pytest.mark.slow
def test_all_are_remade_and_the_float64_nets_within_their_bound(tmp_path: Path) -> None:
    remade = make(tmp_path, lk.backend("reference"), lk.Conv4)
    assert (remade.changed, remade.missing, remade.added) == ([], [], [])
    assert remade.within_bound == ["conv4/full-squared", "conv4/full-leaky"]
    assert check_files(tmp_path) == check_files(SHIPPED)
    assert stored.read_manifest(tmp_path)["version"] == stored.read_manifest(SHIPPED)["version"]


def test_the_numpy_engine_is_within_every_bound_of_the_vectors(groups: dict[str, stored.Group]) -> None:
    every = groups | stored.read(SHIPPED / NETS)
    checked = check_engine(lk.backend("numpy"), every, lk.Conv4)
    assert checked.failures == []
    files = stored.read_manifest(SHIPPED)["files"]
    assert checked.cases == sum(len(file["cases"]) for file in files.values())


def test_every_stored_operation_has_a_dozen_cases_or_more_and_whole_nets_are_there(
    groups: dict[str, stored.Group],
) -> None:
    counts = {operation: sum(name.startswith(operation + "/") for name in groups) for operation in ENTRIES}
    assert min(counts.values()) >= 9
    assert sum(counts.values()) == len(groups)
    exact = {name: group.description["arithmetic"] for name, group in stored.read(SHIPPED / NETS).items()}
    assert exact == {
        "conv4/small-squared": "50 digits",
        "conv4/small-leaky": "50 digits",
        "conv4/full-squared": "float64",
        "conv4/full-leaky": "float64",
    }


def test_inputs_are_stored_as_float64_that_their_dtypes_hold(groups: dict[str, stored.Group]) -> None:
    for name, group in groups.items():
        assert group.description["note"], name
        for dtype in group.description["dtypes"].split(","):
            for path, array in group.arrays.items():
                if path.startswith("arguments/") and array.dtype.kind == "f":
                    with np.errstate(over="ignore"):
                        assert np.array_equal(array.astype(dtype).astype(np.float64), array, equal_nan=True), (
                            name,
                            path,
                        )


def test_a_digest_is_what_the_format_page_says() -> None:
    """Written again from the page, for one case."""
    group = stored.read(SHIPPED / OPERATIONS, "leaky_squared_euclidean")["leaky_squared_euclidean/kink"]
    items = {path: (array.dtype.str, array.shape, array.tobytes()) for path, array in group.arrays.items()}
    for name in group.contents:
        text = group.contents[name].encode()
        items[f"@{name}"] = ("|u1", (len(text),), text)
    total = hashlib.sha256()
    for path in sorted(items):
        dtype, shape, data = items[path]
        total.update(f"{path}|{dtype}|{','.join(map(str, shape))}|".encode() + data)
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    assert total.hexdigest() == manifest["files"][OPERATIONS]["cases"]["leaky_squared_euclidean/kink"]


def test_the_kink_is_marked_and_leaves_either_factor_open(groups: dict[str, stored.Group]) -> None:
    group = groups["leaky_squared_euclidean/kink"]
    assert "kink" in group.description["flags"]
    ours, other = group.arrays["vjp/dx/expected"], group.arrays["alternatives/float64/dx/expected"][0]
    slope = json.loads(group.contents["parameters"])["slope"]
    assert np.array_equal(other[0], slope * ours[0])


# What goes wrong with files


def test_a_changed_byte_is_found(copied: Path) -> None:
    data = bytearray((copied / OPERATIONS).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / OPERATIONS).write_bytes(bytes(data))
    with pytest.raises(CheckFailed):
        check_files(copied, ANY)


def test_a_changed_value_is_found_by_its_digest(copied: Path) -> None:
    import h5py

    with h5py.File(copied / OPERATIONS, "r+") as file:
        file["relu/zero/value/y/expected"][...] += 1
    manifest = stored.read_manifest(copied)
    manifest["files"][OPERATIONS]["sha256"] = stored.file_sha256(copied / OPERATIONS)
    stored.write_manifest(copied, manifest)
    with pytest.raises(CheckFailed, match="relu/zero"):
        check_files(copied, ANY)


@pytest.mark.parametrize("name", [OPERATIONS, MANIFEST])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(UserError, match=name):
        check_files(copied, ANY)


def test_a_file_that_is_not_hdf5_is_named(copied: Path) -> None:
    (copied / OPERATIONS).write_text("no")
    with pytest.raises(CheckFailed, match="HDF5"):
        stored.read(copied / OPERATIONS)


def test_another_format_is_refused(copied: Path) -> None:
    import h5py

    with h5py.File(copied / OPERATIONS, "r+") as file:
        file.attrs["format"] = 3
    with pytest.raises(UserError, match="format 3"):
        stored.read(copied / OPERATIONS)


# Versions


def test_cases_may_be_added_but_not_changed_or_lost(
    groups: dict[str, stored.Group], copied: Path, tmp_path: Path
) -> None:
    groups = {name: group for name, group in groups.items() if name.startswith("relu/")}
    publish(copied, {OPERATIONS: groups}, [], shipped=tmp_path / "none")
    before = stored.read_manifest(copied)
    fewer = {name: group for name, group in groups.items() if name != "relu/plain"}
    assert compare(before, {OPERATIONS: fewer}, []).missing == ["relu/plain"]
    known = before["files"][OPERATIONS]["cases"]
    known["relu/zero"] = "another digest"
    del known["relu/plain"]
    remade = compare(before, {OPERATIONS: groups}, [])
    assert (remade.added, remade.changed) == (["relu/plain"], ["relu/zero"])
    stored.write_manifest(copied, before)
    with pytest.raises(CheckFailed, match="relu/zero"):
        publish(tmp_path / "made", {OPERATIONS: groups}, [], shipped=copied)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("change", "version"), [("none", "1.0.0"), ("added", "1.1.0"), ("lost", "2.0.0")])
def test_the_version_says_what_happened(
    change: str, version: str, groups: dict[str, stored.Group], tmp_path: Path
) -> None:
    some = {name: group for name, group in groups.items() if name.startswith("relu/")}
    plain = {"relu/plain": some.pop("relu/plain")}
    old, new = (some, some | plain) if change == "added" else (some | plain, some) if change == "lost" else (some, some)
    publish(tmp_path / "old", {OPERATIONS: old}, [], shipped=tmp_path)
    publish(tmp_path / "new", {OPERATIONS: new}, [], shipped=tmp_path / "old", major=change == "lost")
    assert stored.read_manifest(tmp_path / "new")["version"] == version
    assert set(stored.read(tmp_path / "new" / OPERATIONS)) == set(new)


@pytest.fixture(scope="module")
def upgraded_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors of an earlier version, written by this one."""
    folder = tmp_path_factory.mktemp("upgraded") / "vectors"
    shutil.copytree(OLD, folder)
    old = {name: upgraded(group) for name, group in stored.read(OLD / OPERATIONS).items()}
    publish(folder, {OPERATIONS: old}, [], shipped=OLD, major=True)
    return folder


@pytest.mark.parametrize("name", [MANIFEST, OPERATIONS, NETS])
@pytest.mark.parametrize("content", [b"precious", b'{"format": 1, "files": {"config.toml": "0"}}'])
def test_only_vectors_are_replaced(name: str, content: bytes, upgraded_vectors: Path, tmp_path: Path) -> None:
    """A finished run has a manifest.json too."""
    copied = tmp_path / "vectors"
    shutil.copytree(upgraded_vectors, copied)
    (copied / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with pytest.raises(UserError, match=f"{name} holds no vectors; give --out an empty folder or a new one"):
        make(copied, lk.backend("reference"), lk.Conv4)
    with pytest.raises(UserError, match="is a file, and a folder is expected"):
        make(copied / name, lk.backend("reference"), lk.Conv4)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_a_number_read_from_a_parameter_is_that_number() -> None:
    assert parameter("inf") == np.inf
    assert parameter("pair") == "pair"
    metric = parameter(
        {"operation": "leaky_squared_euclidean", "parameters": {"threshold": "inf", "slope": 0.5, "per": "pair"}}
    )
    assert metric == lk.LeakySquaredEuclidean(threshold=float("inf"), slope=0.5)


# Nets


def test_a_net_that_is_wrong_in_one_parameter_is_found() -> None:
    group = upgraded(stored.read(SHIPPED / NETS)["conv4/small-leaky"])
    case = nets.net("small")
    results = nets.computed_results(case, nets.METRICS["leaky"], lk.backend("numpy"), "float64", lk.Conv4)
    assert rule.failures(group, "value", results, "float64") == []
    results["gradients/block2.shift"] = results["gradients/block2.shift"] * (1 + 1e-9)
    assert len(rule.failures(group, "value", results, "float64")) == 1


# Format 1


def test_old_files_are_read_and_checked() -> None:
    counts = check_files(OLD, fewest={OPERATIONS: 11, NETS: 1})
    every = stored.read(OLD / OPERATIONS) | stored.read(OLD / NETS)
    assert {group.format for group in every.values()} == {1}
    checked = check_engine(lk.backend("numpy"), every, lk.Conv4)
    assert (checked.failures, checked.cases) == ([], sum(counts.values()))


def test_an_old_case_means_in_todays_format_what_it_meant() -> None:
    old = stored.read(OLD / OPERATIONS)["leaky_squared_euclidean/kink"]
    new = upgraded(old)
    assert new.contents == old.contents | {"one_way": ""}
    assert new.arrays["vjp/dx/worst"] == new.arrays["vjp/dx/usual"] == old.arrays["vjp/dx/k"]
    assert new.arrays["vjp/dx/under"] == old.arrays["vjp/dx/n"]
    assert np.array_equal(new.arrays["alternatives/float32/dx/expected"][0], old.arrays["alternatives/float32/0/dx"])
    assert not {path.rpartition("/")[2] for path in new.arrays} & {"k", "n"}


def test_a_changed_result_of_an_old_file_is_found() -> None:
    every = stored.read(OLD / OPERATIONS)
    every["relu/zero"].arrays["value/y/expected"] = every["relu/zero"].arrays["value/y/expected"] + 1
    checked = check_engine(lk.backend("numpy"), every, lk.Conv4)
    assert {text.partition(":")[0] for text in checked.failures} == {"relu/zero"}


def test_another_format_is_a_major_version(groups: dict[str, stored.Group], tmp_path: Path) -> None:
    old = {name: upgraded(group) for name, group in stored.read(OLD / OPERATIONS).items()}
    with pytest.raises(CheckFailed, match="format 1"):
        publish(tmp_path, {OPERATIONS: old}, [], shipped=OLD)
    publish(tmp_path, {OPERATIONS: old}, [], shipped=OLD, major=True)
    assert stored.read_manifest(tmp_path)["version"] == "2.0.0"
    assert {name: group.digest() for name, group in stored.read(tmp_path / OPERATIONS).items()} == {
        name: group.digest() for name, group in old.items()
    }
