from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leakysm.data.within_alphabet import within_alphabet
from leakysm.errors import UserError
from tests.data.conftest import drawing, write_files, write_zip
from tests.data.test_omniglot import by_definition


def answers(run: int) -> np.ndarray:
    return np.random.default_rng(run).permutation(20)


def labels(run: int) -> str:
    lines = [
        f"run{run:02d}/test/item{k + 1:02d}.png run{run:02d}/training/class{a + 1:02d}.png"
        for k, a in enumerate(answers(run))
    ]
    return "\n".join(lines) + "\n"


IMAGES = [drawing(seed) for seed in range(50)]


def all_runs() -> dict[str, bytes]:
    files = {}
    for run in range(1, 21):
        files[f"run{run:02d}/class_labels.txt"] = labels(run).encode()
        for k in range(20):
            files[f"run{run:02d}/training/class{k + 1:02d}.png"] = IMAGES[(7 * run + k) % 50]
            files[f"run{run:02d}/test/item{k + 1:02d}.png"] = IMAGES[(11 * run + k) % 50]
    return files


FILES = all_runs()


@pytest.mark.parametrize("form", ["zip", "folder of the zip", "wrapped zip", "unpacked", "folder of the unpacked"])
def test_twenty_runs_of_twenty_classes(tmp_path: Path, form: str) -> None:
    wrapped = {f"all_runs/{name}": content for name, content in FILES.items()}
    path = {
        "zip": lambda: write_zip(tmp_path / "runs.zip", FILES),
        "folder of the zip": lambda: write_zip(tmp_path / "all_runs.zip", FILES).parent,
        "wrapped zip": lambda: write_zip(tmp_path / "all_runs.zip", wrapped),
        "unpacked": lambda: write_files(tmp_path, FILES),
        "folder of the unpacked": lambda: write_files(tmp_path, wrapped),
    }[form]()
    runs = within_alphabet(path)
    assert [run.name for run in runs] == [f"run{number:02d}" for number in range(1, 21)]
    for number, run in enumerate(runs, 1):
        np.testing.assert_array_equal(run.answers, answers(number))
        assert run.training.shape == run.test.shape == (20, 28, 28, 1)
        np.testing.assert_array_equal(run.training[3, :, :, 0], by_definition(IMAGES[(7 * number + 3) % 50], 0))
        np.testing.assert_array_equal(run.test[19, :, :, 0], by_definition(IMAGES[(11 * number + 19) % 50], 0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run07/test/item03.png", None, r"lacks run07/test/item03\.png; expected Omniglot's all_runs\.zip"),
        ("run07/class_labels.txt", None, r"lacks run07/class_labels\.txt"),
        ("run07/class_labels.txt", b"", "does not give each of the 20 test items a training class"),
        ("run07/class_labels.txt", labels(6).encode(), "does not give each of the 20 test items"),
        ("run07/class_labels.txt", labels(7).encode() * 2, "does not give each of the 20 test items"),
        ("run07/test/item03.png", b"x", r"run07/test/item03\.png is not an image"),
    ],
)
def test_what_is_amiss_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    files = {key: value for key, value in {**FILES, name: content}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        within_alphabet(write_zip(tmp_path / "all_runs.zip", files))


def test_a_folder_without_runs_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no all_runs\.zip and no run01 to run20; get it with"):
        within_alphabet(tmp_path)


def test_another_zip_says_how_much_is_lacking(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks run01/class_labels\.txt and 40 more of run01"):
        within_alphabet(write_zip(tmp_path / "x.zip", {"a.txt": b""}))
