"""The vectors as JSON, plain text and npz: all of them, in small files, as the schema and the format page say."""

import gzip
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from leakysm.errors import UserError
from leakysm.verify.vectors import stored
from leakysm.verify.vectors.export import export
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.stored import NETS, OPERATIONS

SHIPPED = stored.folder()
OLD = Path(__file__).parent / "data" / "format-1"  # a few cases of every kind
SMALL = 2_000_000
Groups = dict[str, stored.Group]


@pytest.fixture(scope="module")
def groups() -> Groups:
    every = stored.read(OLD / OPERATIONS) | stored.read(OLD / NETS)
    return {name: upgraded(group) for name, group in every.items()}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    text = (resources.files("leakysm.reference_data") / "vectors.schema.json").read_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    return jsonschema.Draft202012Validator(json.loads(text))


def unzipped(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def same(values: list[Any], array: np.ndarray[Any, Any]) -> bool:
    """The same float64, the sign of zero included."""
    found = np.array([float(value) for value in values]).reshape(array.shape)
    return bool(
        np.array_equal(found, array, equal_nan=True)
        and np.all((np.signbit(found) == np.signbit(array)) | np.isnan(array))
    )


def test_a_folder_has_a_json_file_an_operation_and_one_a_net(groups: Groups, tmp_path: Path) -> None:
    written = export(groups, tmp_path / "out", "2.0.0")
    operations = {name.partition("/")[0] for name in groups} - {"conv4"}
    assert {path.name for path in written} == {f"{name}.json.gz" for name in (*operations, "conv4-small-leaky")}
    found = [unzipped(path) for path in written]
    assert {name for one in found for name in one["cases"]} == set(groups)
    assert all((one["format"], one["version"], one["count"]) == (2, "2.0.0", len(one["cases"])) for one in found)


def test_a_restriction_is_an_object_in_json_and_its_name_in_the_text(
    schema: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    case = "restricted_squared_euclidean/kink"
    given = {"restriction": {"restriction": "leak", "parameters": {"threshold": "inf", "slope": 0.5}}, "per": "pair"}
    metric = {"operation": "restricted_squared_euclidean", "parameters": given}
    names = ("expected", "scale", "under", "worst", "usual")
    arrays = {"arguments/x": np.ones(()), **{f"value/y/{name}": np.ones(()) for name in names}}
    contents = {"parameters": json.dumps({"distance": metric}), "one_way": ""}
    group = stored.Group(arrays, contents, {"flags": "", "note": "", "dtypes": "float64", "own": "false"})
    text, file = (export({case: group}, tmp_path / name, "2.0.0")[0] for name in ("a.txt", "a.json.gz"))
    lines = [line for line in text.read_text().splitlines() if line.startswith("parameter")]
    assert lines == [
        "parameter distance restricted_squared_euclidean",
        "parameter distance.restriction leak",
        "parameter distance.restriction.threshold inf",
        "parameter distance.restriction.slope 0.5",
        "parameter distance.per pair",
    ]
    schema.validate(unzipped(file))


def test_json_holds_every_digit_at_the_place_that_the_page_says(groups: Groups, tmp_path: Path) -> None:
    export(groups, tmp_path / "v.json", "2.0.0")
    cases = json.loads((tmp_path / "v.json").read_text())["cases"]
    for name, group in groups.items():
        assert cases[name]["parameters"] == json.loads(group.contents["parameters"])
        for path, array in group.arrays.items():
            part, _, rest = path.partition("/")
            keys = [rest] if part == "arguments" else rest.rsplit("/", 1)
            keys = rest.split("/") if part == "alternatives" else keys
            found = cases[name][part]
            for key in keys:
                found = found[key]
            if keys[-1] in ("worst", "usual"):
                assert found == array
            else:
                assert (tuple(found["shape"]), found["dtype"]) == (array.shape, str(array.dtype))
                assert same(found["values"], array), (name, path)


def test_text_holds_every_digit(groups: Groups, tmp_path: Path) -> None:
    export(groups, tmp_path / "v.txt", "2.0.0")
    lines = [line.split(" ") for line in (tmp_path / "v.txt").read_text().splitlines()]
    assert (lines[0], lines[-1]) == (["leakysm-vectors", "2", "2.0.0", str(len(groups))], ["end", str(len(groups))])
    case, found = "", set()
    for word, key, *rest in lines[1:-1]:
        case = key if word == "case" else case
        if word == "array":
            array = groups[case].arrays[key]
            dimensions = int(rest[1])
            assert (rest[0], tuple(map(int, rest[2 : 2 + dimensions]))) == (str(array.dtype), array.shape)
            assert same(rest[2 + dimensions :], array), (case, key)
            found.add((case, key))
    assert found == {(name, path) for name, group in groups.items() for path in group.arrays}
    text = (tmp_path / "v.txt").read_text()
    assert "\nparameter distance leaky_squared_euclidean\nparameter distance.per pair\n" in text


def test_npz_holds_every_array(groups: Groups, tmp_path: Path) -> None:
    export(groups, tmp_path / "v.npz", "2.0.0")
    with np.load(tmp_path / "v.npz") as found:
        assert (found["@format"], found["@version"]) == (2, "2.0.0")
        for name, group in groups.items():
            assert found[f"{name}/@one_way"] == group.contents["one_way"]
            for path, array in group.arrays.items():
                assert np.array_equal(found[f"{name}/{path}"], array, equal_nan=True)


def test_the_largest_files_are_small_and_always_the_same(tmp_path: Path) -> None:
    largest = stored.read(SHIPPED / NETS) | stored.read(SHIPPED / OPERATIONS, "leaky_squared_euclidean")
    chosen = {name: upgraded(group) for name, group in largest.items()}
    written = export(chosen, tmp_path / "a", "2.0.0")
    assert max(path.stat().st_size for path in written) < SMALL
    for one, other in zip(written, export(chosen, tmp_path / "b", "2.0.0"), strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["v.csv", "v.gz", "v.json.zip"])
def test_another_ending_is_bad_use(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.npz, \.json, \.json\.gz or \.txt"):
        export({}, tmp_path / name, "2.0.0")


def test_the_ending_of_a_file_and_a_format_are_not_given_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave one out"):
        export({}, tmp_path / "v.json", "2.0.0", "text")


# The schema


def test_what_is_exported_is_as_the_schema_says(
    groups: Groups, schema: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    for path in export(groups, tmp_path, "2.0.0"):
        assert [error.message for error in schema.iter_errors(unzipped(path))] == []


@pytest.mark.parametrize("damage", ["format", "scale", "infinity", "empty", "fraction", "word", "extra"])
def test_the_schema_refuses_what_is_damaged(
    damage: str, groups: Groups, schema: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    name = "prototypes/unbalanced"
    export({name: groups[name]}, tmp_path / "v.json", "2.0.0")
    whole = json.loads((tmp_path / "v.json").read_text())
    assert schema.is_valid(whole)
    case = whole["cases"][name]
    if damage == "format":
        whole["format"] = 1
    elif damage == "scale":
        del case["value"]["y"]["scale"]
    elif damage == "infinity":
        case["value"]["y"]["scale"]["values"][0] = "Infinity"
    elif damage == "empty":
        whole |= {"cases": {}, "count": 0}
    elif damage == "fraction":
        case["arguments"]["labels"]["values"][0] = 0.5
    elif damage == "word":
        case["dtypes"].append("bfloat16")
    else:
        case["values"] = {}
    assert not schema.is_valid(whole)


def test_the_readers_are_installed_with_the_package() -> None:
    folder = resources.files("leakysm.reference_data") / "readers"
    assert {"leakysm_vectors.c", "leakysm_vectors.h", "leakysm_vectors.mjs"} <= {path.name for path in folder.iterdir()}
