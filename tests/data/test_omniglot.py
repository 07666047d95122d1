from __future__ import annotations

import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from leakysm.data import load, omniglot
from leakysm.data.cache import splits_digest
from leakysm.data.omniglot import shrink
from leakysm.errors import UserError
from tests.data.conftest import (
    BACKGROUND,
    EVALUATION,
    PARTS,
    characters,
    drawing,
    noise,
    png,
    small_omniglot,
    write_files,
    write_zip,
)


def by_definition(data: bytes, degrees: int) -> np.ndarray:
    """As the specification words it, one image at a time."""
    grey = Image.open(io.BytesIO(data)).convert("L").rotate(degrees)
    return 255 - np.asarray(grey.resize((28, 28), Image.Resampling.BILINEAR))


def test_every_image_is_grey_rotated_resized_and_turned_to_ink_in_this_order(zips: Path) -> None:
    data = load("omniglot", zips)
    for split, files in (("train", BACKGROUND), ("test", EVALUATION)):
        one = data.splits[split]
        names = sorted({name.split("/", 1)[1].rsplit("/", 1)[0] for name in files})
        assert one.names == tuple(f"{name}/rot{degrees:03d}" for name in names for degrees in (0, 90, 180, 270))
        for k, name in enumerate(one.names):
            character, rotation = name.rsplit("/", 1)
            drawings = [files[file] for file in sorted(files) if f"/{character}/" in file]
            expected = [by_definition(drawn, int(rotation[3:])) for drawn in drawings]
            np.testing.assert_array_equal(one.images[one.starts[k] : one.starts[k + 1], :, :, 0], expected)
    assert data.inputs.ink
    assert not data.inputs.mean.any()
    assert (data.inputs.std == 1).all()


@given(st.data())
def test_many_squares_shrink_as_pillow_shrinks_each(data: st.DataObject) -> None:
    side = data.draw(st.sampled_from([28, 29, 57, 105]))
    images = data.draw(arrays(np.uint8, (data.draw(st.integers(1, 4)), side, side)))
    expected = [np.asarray(Image.fromarray(one).resize((28, 28), Image.Resampling.BILINEAR)) for one in images]
    np.testing.assert_array_equal(shrink(images), expected)


@given(st.integers(0, 2**32), st.sampled_from([1, 128, 255]))
def test_half_a_turn_may_come_before_or_after_the_resize(seed: int, step: int) -> None:
    images = noise(seed, 16, 105, 105) // step * step
    np.testing.assert_array_equal(shrink(images[:, ::-1, ::-1]), shrink(images)[:, ::-1, ::-1])


def test_unpacked_folders_and_each_single_file_give_the_same(zips: Path, tmp_path: Path) -> None:
    expected = load("omniglot", zips).digest
    unpacked = tmp_path / "unpacked"
    for files in PARTS.values():
        write_files(unpacked, files)
    places = (zips / "images_background.zip", zips / "images_evaluation.zip", unpacked, unpacked / "images_background")
    for place in places:
        assert load("omniglot", place).digest == expected


def test_a_doubled_folder_and_a_zip_without_its_top_folder_give_the_same(zips: Path, tmp_path: Path) -> None:
    """Windows unpacks images_background.zip to images_background/images_background."""
    expected = load("omniglot", zips).digest
    doubled = tmp_path / "doubled"
    for part, files in PARTS.items():
        write_files(doubled / part, files)
        write_zip(zips / f"{part}.zip", {name.removeprefix(f"{part}/"): data for name, data in files.items()})
    for place in (doubled, doubled / "images_background", zips):
        assert load("omniglot", place).digest == expected


def test_litter_of_operating_systems_is_left_out(zips: Path) -> None:
    expected = load("omniglot", zips).digest
    litter = {"__MACOSX/images_background/._x.png": b"", "images_background/.DS_Store": b"", "images_background/": b""}
    write_zip(zips / "images_background.zip", {**BACKGROUND, **litter})
    assert load("omniglot", zips).digest == expected


@pytest.mark.parametrize("number", [1, 2])
def test_minimal_background_sets_train_on_their_few_alphabets(zips: Path, number: int) -> None:
    part = f"images_background_small{number}"
    write_zip(zips / f"{part}.zip", characters(part, {"Eve": number}))
    data = load("omniglot", zips, split=f"minimal{number}")
    assert {name.split("/")[0] for name in data.splits["train"].names} == {"Eve"}
    assert data.splits["train"].n_classes == 4 * number
    assert data.splits["test"].n_classes == 12


LISTS = {
    "train.txt": b"Bob/character02/rot090\nAda/character01/rot000\n",
    "val.txt": b"Cyd/character01/rot270\n\n",
    "test.txt": b"Cyd/character03/rot000\nAda/character03/rot180\n",
}


@pytest.mark.parametrize("folder", ["splits/vinyals", "vinyals"])
def test_vinyals_lists_choose_the_classes_of_each_split(zips: Path, folder: str) -> None:
    lake = load("omniglot", zips)
    write_files(zips / folder, LISTS)
    data = load("omniglot", zips, split="vinyals")
    assert data.splits["train"].names == ("Bob/character02/rot090", "Ada/character01/rot000")
    assert data.splits["val"].names == ("Cyd/character01/rot270",)
    assert data.splits["trainval"].names == data.splits["train"].names + data.splits["val"].names
    assert data.splits["test"].names == ("Cyd/character03/rot000", "Ada/character03/rot180")
    assert data.digest != lake.digest
    pool = {
        name: one.images[one.starts[k] : one.starts[k + 1]]
        for one in lake.splits.values()
        for k, name in enumerate(one.names)
    }
    for one in data.splits.values():
        for k, name in enumerate(one.names):
            np.testing.assert_array_equal(one.images[one.starts[k] : one.starts[k + 1]], pool[name])


def test_train_and_val_can_be_trained_on_together(zips: Path) -> None:
    """As the published last run; nothing is left to choose a checkpoint by."""
    write_files(zips / "vinyals", LISTS)
    apart, together = (load("omniglot", zips, split=split) for split in ("vinyals", "vinyals-trainval"))
    assert set(together.splits) == {"train", "test"}
    assert together.splits["train"].names == apart.splits["trainval"].names
    assert together.splits["test"].names == apart.splits["test"].names
    np.testing.assert_array_equal(together.splits["train"].images, apart.splits["trainval"].images)
    assert together.digest != apart.digest


def test_vinyals_lists_must_be_there_and_fit(zips: Path) -> None:
    with pytest.raises(UserError, match=r"no splits/vinyals/train\.txt.* or take --split lake"):
        load("omniglot", zips, split="vinyals")
    write_files(zips / "vinyals", {**LISTS, "val.txt": b"Zoe/character01/rot000\nCyd/character01/rot045\n"})
    with pytest.raises(UserError, match=r"val\.txt has 2 classes, of which 2 are not .*Zoe/character01/rot000, Cyd"):
        load("omniglot", zips, split="vinyals")
    write_files(zips / "vinyals", {"val.txt": LISTS["test.txt"]})
    with pytest.raises(UserError, match=r"test\.txt lists Cyd/character03/rot000, which val\.txt has already"):
        load("omniglot", zips, split="vinyals")
    (zips / "vinyals" / "val.txt").unlink()
    with pytest.raises(UserError, match=r"val\.txt does not exist; the Vinyals split needs"):
        load("omniglot", zips, split="vinyals")


@pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
def test_a_truncated_zip_is_named(zips: Path, keep: float) -> None:
    file = zips / "images_background.zip"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(UserError, match=r"images_background\.zip is not a complete zip archive .*download it again"):
        load("omniglot", zips)


def test_a_damaged_entry_is_named(zips: Path) -> None:
    file = zips / "images_background.zip"
    with zipfile.ZipFile(file) as archive:
        start = archive.infolist()[4].header_offset
    damaged = bytearray(file.read_bytes())
    for k in range(start + 80, start + 120):
        damaged[k] ^= 0x5A
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=r"images_background\.zip: .*download the archive again"):
        load("omniglot", zips)


@pytest.mark.parametrize(
    "files",
    [
        {"images/cat01.jpg": b"x"},
        {"README.txt": b"x"},
        EVALUATION,
        {**BACKGROUND, "Ada/character01/0001_09.png": b"x"},
    ],
)
def test_a_zip_with_other_content_says_what_was_expected(zips: Path, files: dict[str, bytes]) -> None:
    write_zip(zips / "images_background.zip", files)
    with pytest.raises(UserError, match=r"holds '.*', which is not Omniglot's images_background: expected only"):
        load("omniglot", zips)


@given(st.sets(st.sampled_from(sorted(BACKGROUND)), min_size=1, max_size=len(BACKGROUND) - 1))
def test_whatever_is_left_out_is_missed(tmp_path_factory: pytest.TempPathFactory, absent: set[str]) -> None:
    kept = Counter(name.split("/", 1)[1].rsplit("/", 1)[0] for name in BACKGROUND if name not in absent)
    poorest = next((character for character, count in sorted(kept.items()) if count < 3), None)
    expected = (
        f"holds {len(kept)} characters, expected the 5 of Omniglot's images_background; download it again"
        if len(kept) < 5
        else f"holds {kept[poorest]} drawings of {poorest}, expected 3; download it again"
    )
    with pytest.MonkeyPatch.context() as patch:
        root = small_omniglot(tmp_path_factory.mktemp("absent"), patch)
        write_zip(root / "images_background.zip", {name: BACKGROUND[name] for name in BACKGROUND if name not in absent})
        with pytest.raises(UserError) as caught:
            load("omniglot", root)
    assert str(caught.value) == f"{root / 'images_background.zip'} {expected}"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (400, "holds 20 characters, expected the 964 of Omniglot's images_background"),
        (19260, "holds 963 characters, expected the 964"),
        (19279, r"holds 19 drawings of Ada/character964, expected 20"),
        (19300, "holds 965 characters, expected the 964"),
    ],
)
def test_the_published_number_of_images_is_expected(tmp_path: Path, images: int, message: str) -> None:
    one = drawing(0)
    names = (
        f"images_background/Ada/character{k // 20 + 1:03d}/{k // 20:04d}_{k % 20 + 1:02d}.png" for k in range(images)
    )
    write_zip(tmp_path / "images_background.zip", dict.fromkeys(names, one))
    write_zip(tmp_path / "images_evaluation.zip", EVALUATION)
    with pytest.raises(UserError, match=rf"images_background\.zip {message}.*; download it again"):
        load("omniglot", tmp_path)


@pytest.mark.parametrize(("part", "images"), [("small1", 2720), ("small2", 3120)])
def test_the_minimal_sets_have_their_published_numbers(part: str, images: int) -> None:
    assert omniglot.PARTS[f"images_background_{part}"] * omniglot.DRAWERS == images


def test_a_zip_with_another_top_folder_is_told_its_name(zips: Path) -> None:
    write_zip(
        zips / "images_background.zip",
        {name.replace("images_background/", "omniglot/"): one for name, one in BACKGROUND.items()},
    )
    with pytest.raises(UserError, match=r"rename its top folder omniglot to images_background$"):
        load("omniglot", zips)


def test_an_empty_zip_is_refused(zips: Path) -> None:
    write_zip(zips / "images_background.zip", {})
    with pytest.raises(UserError, match=r"images_background\.zip is empty"):
        load("omniglot", zips)


@pytest.mark.parametrize(
    "name", ["../evil.png", "images_background/../../evil.png", "/evil.png", "C:/evil.png", "..\\evil.png"]
)
def test_an_entry_that_climbs_out_is_refused(zips: Path, name: str) -> None:
    write_zip(zips / "images_background.zip", {**BACKGROUND, name: drawing(0)})
    with pytest.raises(UserError, match=r"entry '.*evil\.png' points outside the archive"):
        load("omniglot", zips)


def test_links_in_a_zip_are_refused(zips: Path) -> None:
    entry = zipfile.ZipInfo("images_background/Ada/character01/0001_09.png")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(zips / "images_background.zip", "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="is a symbolic link"):
        load("omniglot", zips)


def test_files_of_another_size_or_in_colour_are_refused(zips: Path) -> None:
    for pixels, found in ((noise(0, 28, 28), "28x28 L"), (noise(0, 105, 105, 3), "105x105 RGB")):
        write_zip(zips / "images_background.zip", {**BACKGROUND, next(iter(BACKGROUND)): png(pixels)})
        with pytest.raises(UserError, match=f"is {found}, expected 105x105 in 1 bit or grey"):
            load("omniglot", zips)


@pytest.mark.parametrize(
    ("split", "command"),
    [("lake", "fetch omniglot"), ("minimal1", "fetch omniglot --all"), ("minimal2", "fetch omniglot --all")],
)
def test_absent_archives_come_with_the_command_that_gets_them(zips: Path, split: str, command: str) -> None:
    (zips / "images_background.zip").unlink()
    with pytest.raises(UserError, match=rf"get them with `leakysm data {command}`, or give another --data"):
        load("omniglot", zips, split=split)


def test_a_folder_without_the_data_and_a_strange_file_are_named(zips: Path, tmp_path: Path) -> None:
    (zips / "images_evaluation.zip").unlink()
    with pytest.raises(UserError, match=r"holds no images_evaluation\.zip and no folder images_evaluation"):
        load("omniglot", zips)
    other = write_zip(tmp_path / "other.zip", {"x.txt": b""})
    with pytest.raises(UserError, match=r"other\.zip is not one of Omniglot's files"):
        load("omniglot", other)


def test_fetched_files_are_found_without_a_path(zips: Path, own_cache: Path) -> None:
    shutil.copytree(zips, own_cache / "omniglot")
    assert load("omniglot").digest == load("omniglot", zips).digest


def test_progress_ends_at_the_number_of_characters(zips: Path) -> None:
    calls: list[tuple[int, int]] = []
    load("omniglot", zips, report=lambda done, total: calls.append((done, total)))
    assert (5, 5) in calls
    assert (3, 3) in calls
    again: list[tuple[int, int]] = []
    load("omniglot", zips, report=lambda done, total: again.append((done, total)))
    assert again == []


def test_the_published_images(omniglot_path: Path, omniglot_cache: Path) -> None:
    """Real archives, both splits, against the specification's counts and, for a few images, its words."""
    lake = load("omniglot", omniglot_path, cache_dir=omniglot_cache)
    assert {name: one.n_classes for name, one in lake.splits.items()} == {"train": 4 * 964, "test": 4 * 659}
    assert all((one.counts == 20).all() for one in lake.splits.values())
    vinyals = load("omniglot", omniglot_path, split="vinyals", cache_dir=omniglot_cache)
    counts = {name: one.n_classes // 4 for name, one in vinyals.splits.items()}
    assert counts == {"train": 1028, "val": 172, "trainval": 1200, "test": 423}
    assert len([*omniglot_cache.glob("*.h5")]) == 1
    test = lake.splits["test"]
    with zipfile.ZipFile(omniglot_path / "images_evaluation.zip") as archive:
        files = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for k in range(0, test.n_classes, 97):
            first = archive.read(files[20 * (k // 4)])
            np.testing.assert_array_equal(test.images[test.starts[k], :, :, 0], by_definition(first, 90 * (k % 4)))


def test_content_alone_decides_the_digest(zips: Path, tmp_path: Path) -> None:
    before = load("omniglot", zips)
    write_zip(zips / "images_background.zip", dict(reversed(BACKGROUND.items())))
    assert load("omniglot", zips).digest == before.digest
    changed = {**BACKGROUND, next(iter(BACKGROUND)): drawing(999)}
    write_zip(zips / "images_background.zip", changed)
    after = load("omniglot", zips)
    assert after.digest != before.digest
    assert splits_digest(after.splits) != splits_digest(before.splits)
