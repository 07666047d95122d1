"""The readers in JavaScript and C: they pass a right implementation in their language, and catch a wrong one."""

import gzip
import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from leakysm.verify.vectors import stored
from leakysm.verify.vectors.export import export
from leakysm.verify.vectors.older import upgraded
from leakysm.verify.vectors.stored import OPERATIONS, Group

SHIPPED = stored.folder()
READERS = Path(str(resources.files("leakysm.reference_data"))) / "readers"
CHOSEN = ("squared_euclidean", "leaky_squared_euclidean", "cross_entropy")
COMPILER, NODE = shutil.which("cc") or shutil.which("gcc"), shutil.which("node")


class Reader:
    """One reader, and the endings of the files it takes and of its examples."""

    def __init__(self, language: str, where: Path):
        if (COMPILER if language == "c" else NODE) is None:
            pytest.skip(f"there is no {'C compiler' if language == 'c' else 'node'} on this machine")
        self.where, self.language = where, language
        self.ending, self.kind = (".txt", "text") if language == "c" else (".json.gz", "json")

    def run(self, file: Path, example: str = "right") -> subprocess.CompletedProcess[str]:
        command = [self._compiled(example)] if self.language == "c" else [NODE, READERS / "leakysm_vectors.mjs"]
        implementation = [] if self.language == "c" else [READERS / f"leakysm_example_{example}.mjs"]
        words = list(map(str, [*command, file, *implementation]))
        return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)

    def _compiled(self, example: str) -> Path:
        program = self.where / f"judge-{example}"
        if not program.exists():
            sources = [READERS / "leakysm_vectors.c", READERS / f"leakysm_example_{example}.c"]
            words = [COMPILER, "-std=c99", "-Wall", "-O1", "-o", program, *sources, "-lm"]
            subprocess.run(list(map(str, words)), check=True)
        return program

    def text(self, file: Path) -> str:
        return file.read_text() if self.language == "c" else gzip.decompress(file.read_bytes()).decode()

    def write(self, file: Path, text: str) -> Path:
        file.write_bytes(text.encode() if self.language == "c" else gzip.compress(text.encode()))
        return file


@pytest.fixture(scope="module", params=["javascript", "c"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def groups() -> dict[str, Group]:
    return {name: group for operation in CHOSEN for name, group in stored.read(SHIPPED / OPERATIONS, operation).items()}


@pytest.fixture(scope="module")
def files(reader: Reader, groups: dict[str, Group]) -> dict[str, Path]:
    written = export(groups, reader.where / "vectors", "2.0.0", reader.kind)
    return {path.name.removesuffix(reader.ending): path for path in written}


def refused(result: subprocess.CompletedProcess[str], words: str) -> bool:
    return (result.returncode, len(result.stderr.splitlines()), words in result.stderr) == (2, 1, True)


@pytest.mark.parametrize("operation", CHOSEN)
def test_a_right_implementation_passes(
    reader: Reader, files: dict[str, Path], groups: dict[str, Group], operation: str
) -> None:
    result = reader.run(files[operation])
    assert result.returncode == 0, result.stdout + result.stderr
    of_others = [
        g for name, g in groups.items() if name.startswith(operation + "/") and g.description["own"] == "false"
    ]
    assert result.stdout.startswith(f"{len(of_others)} cases, ")
    assert result.stdout.endswith(", 0 out of bounds\n")


@pytest.mark.parametrize("operation", CHOSEN)
def test_a_wrong_implementation_is_caught(reader: Reader, files: dict[str, Path], operation: str) -> None:
    result = reader.run(files[operation], "wrong")
    assert result.returncode == 1, result.stdout + result.stderr
    *found, last = result.stdout.splitlines()
    output = {"squared_euclidean": "y", "leaky_squared_euclidean": "dx", "cross_entropy": "dlogits"}[operation]
    assert any(f" {output} in float32: " in line for line in found)
    assert last.endswith(f", {len(found)} out of bounds")


def test_the_other_choice_at_a_kink_is_right_too(reader: Reader, groups: dict[str, Group]) -> None:
    """The example takes the left derivative: where a file's alternatives hold it, it passes; without them, not."""
    name = "leaky_squared_euclidean/kink"
    swapped = Group(dict(groups[name].arrays), groups[name].contents, groups[name].description)
    for gradient in ("dx", "dc"):
        there, arrays = f"vjp/{gradient}/expected", groups[name].arrays
        for dtype in ("float32", "float64"):
            other = f"alternatives/{dtype}/{gradient}/expected"
            swapped.arrays |= {there: arrays[other][0], other: arrays[there][None]}
    file = reader.where / f"swapped{reader.ending}"
    export({name: swapped}, file, "2.0.0")
    assert reader.run(file).returncode == 0
    swapped.arrays = {path: array for path, array in swapped.arrays.items() if not path.startswith("alternatives/")}
    file.unlink()
    export({name: swapped}, file, "2.0.0")
    assert reader.run(file).returncode == 1


def test_any_value_of_an_interval_is_right(reader: Reader, groups: dict[str, Group]) -> None:
    """An interval around what the example gives, in place of its expected gradient."""
    name = "leaky_squared_euclidean/plain"
    case = Group(dict(groups[name].arrays), groups[name].contents, groups[name].description)
    true, wrong = groups[name].arrays["vjp/dx/expected"], f"wrong{reader.ending}"
    case.arrays["vjp/dx/expected"] = true + 3
    export({name: case}, reader.where / wrong, "2.0.0")
    assert reader.run(reader.where / wrong).returncode == 1
    for dtype in ("float32", "float64"):
        other = {"expected": true[None][:0], "least": true - 1, "most": true + 1}
        other |= {key: groups[name].arrays[f"vjp/dx/{key}"] for key in ("scale", "under")}
        case.arrays |= {f"alternatives/{dtype}/dx/{key}": array for key, array in other.items()}
    (reader.where / wrong).unlink()
    export({name: case}, reader.where / wrong, "2.0.0")
    assert reader.run(reader.where / wrong).returncode == 0


def test_an_unknown_format_is_refused(reader: Reader, files: dict[str, Path]) -> None:
    text = reader.text(files["cross_entropy"])
    other = text.replace("leakysm-vectors 2", "leakysm-vectors 3").replace('"format":2', '"format":3')
    assert refused(reader.run(reader.write(reader.where / f"other{reader.ending}", other)), "format")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(reader: Reader, files: dict[str, Path], part: float) -> None:
    whole = files["cross_entropy"].read_bytes()
    file = reader.where / f"cut{reader.ending}"
    file.write_bytes(whole[: int(len(whole) * part)])
    assert refused(reader.run(file), "cut")


def test_a_file_that_lost_a_case_is_refused(reader: Reader, files: dict[str, Path]) -> None:
    text = reader.text(files["cross_entropy"])
    if reader.language == "c":
        fewer = text[: text.rindex("\ncase ")] + text[text.rindex("\nend ") :]
    else:
        whole = json.loads(text)
        whole["cases"].popitem()
        fewer = json.dumps(whole)
    assert refused(reader.run(reader.write(reader.where / f"lost{reader.ending}", fewer)), "lost")


def test_a_file_without_cases_is_refused(reader: Reader) -> None:
    file = reader.where / f"none{reader.ending}"
    export({}, file, "2.0.0")
    assert refused(reader.run(file), "case")


def test_a_file_of_nothing_that_is_offered_has_not_passed(reader: Reader) -> None:
    file = reader.where / f"relu{reader.ending}"
    export({name: upgraded(group) for name, group in stored.read(SHIPPED / OPERATIONS, "relu").items()}, file, "2.0.0")
    assert refused(reader.run(file), "no case was compared")


def test_a_missing_file_is_named(reader: Reader) -> None:
    assert refused(reader.run(reader.where / f"nowhere{reader.ending}"), "nowhere")
