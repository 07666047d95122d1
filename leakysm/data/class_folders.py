"""Find which image files of a folder belong to which class, in several usual layouts.

`<class>/<image>`, or `<split>/<class>/<image>`; or a folder `data` of classes beside lists `splits/<name>/<split>.txt`,
one class a line (CIFAR-FS: Bertinetto et al., 2019); or a folder `images` of classes beside `images.txt`
(CUB-200-2011: Wah et al., 2011).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leakysm.data.dataset import USUAL_SPLITS, digest_of, refuse_shared, same_class, split_named
from leakysm.data.folder_or_zip import FolderSource
from leakysm.data.images import is_image_name
from leakysm.errors import UserError, nearest
from leakysm.files import read_file

ALL = "all"  # the one split of a folder without splits
IN_CLASSES, IN_SPLITS = "<class>/<image>", "<split>/<class>/<image>"
LAYOUTS = f"expected {IN_CLASSES}, or {IN_SPLITS} with the splits train, val and test"
_LIST = re.compile(r"splits/[^/]+/(train|val|test)\.txt")
Classes = dict[str, list[str]]  # image files by class


@dataclass(frozen=True)
class ClassFolders:
    """Image files by split and class; without splits, one split ALL. `source` reads the files by these names.

    checksum: changes whenever a file does, or when names of classes are read as one. root: where the folder of another
    split belongs; None where lists say what is in a split.
    """

    source: FolderSource
    files: dict[str, Classes]
    checksum: str
    root: Path | None


def class_folders(path: Path) -> ClassFolders:
    """The folder's images by class. UserError, with the culprit's name, for a file that has no place in the layout.

    If a folder holds no images and one folder of folders, that one is read: Windows unpacks `photos.zip` to
    `photos/photos`. Names that differ in blanks at their ends, or in how Unicode writes the same letters, are one
    class, called as the first is written.
    """
    source = FolderSource(path)
    while not _list_names(source) and (inner := _inner(source)):
        source = FolderSource(inner)
    if (listed := _listed(source)) and (lists := _read_lists(source)):
        return _by_lists(FolderSource(listed), lists)
    places = _places(source)
    spelled: dict[str, tuple[str, str]] = {}  # the folder of its split and the class, as they are first written
    files: dict[str, Classes] = {}
    for name, (folder, label) in places.items():
        first, known = spelled.setdefault(same_class(label), (folder, label))
        if first != folder:
            raise UserError(
                f"{source.path} has the class {label} in {first} and {folder}; few-shot splits share no class: "
                "leave it out of one, or give one split's folder"
            )
        files.setdefault(split_named(folder) or ALL, {}).setdefault(known, []).append(name)
    return ClassFolders(source, files, _checksum(source, len(spelled), len({*places.values()})), source.path)


def _checksum(source: FolderSource, classes: int, names: int) -> str:
    """The source's own; another if several of its names are one class, since older caches took them for several."""
    return source.checksum() if classes == names else digest_of(source.checksum(), f"{names} names of {classes}")


def _inner(source: FolderSource) -> Path | None:
    """The folder below this one that holds the classes, if there is nothing to choose."""
    folders = {name.split("/")[0] for name in source.names + tuple(source.empty_folders) if "/" in name}
    if "images.txt" in source.names and any(re.match("images/[^/]+/", name) for name in source.names):
        return source.path / "images"
    images = [name for name in source.names if is_image_name(name)]
    if len(folders) == 1 and images and all(name.count("/") > 1 for name in images):
        only = folders.pop()
        return None if split_named(only) else source.path / only
    return None


def _places(source: FolderSource) -> dict[str, tuple[str, str]]:
    """By image: the folder of its split ("" if there are no splits), and its class."""
    names = _image_names(source)
    in_splits = _split_folders(names)
    twice = [folder for k, folder in enumerate(in_splits) if split_named(folder) in map(split_named, in_splits[:k])]
    if twice:
        raise UserError(
            f"{source.path} has the folders {', '.join(in_splits)}: several of them are the split "
            f"{split_named(twice[0])}; merge them"
        )
    tables = [name for name in source.names if "/" not in name and name.lower().endswith((".csv", ".tsv"))]
    if tables and len({name.rpartition("/")[0] for name in names}) == 1:
        raise UserError(
            f"{source.path} holds images and {tables[0]}, but only miniimagenet and caltech101 read tables: sort the "
            "images into a folder for each class"
        )
    if all("/" not in name for name in names):
        raise UserError(f"{source.path} holds images, not class folders; did you mean {source.path.parent}?")
    depth = 2 if in_splits else 1
    places: dict[str, tuple[str, str]] = {}
    for name in names:
        if name.count("/") != depth or (in_splits and name.split("/")[0] not in in_splits):
            raise UserError(f"{source.path}: {_misplaced(name, names, in_splits)}")
        *folder, label, _ = name.split("/")
        places[name] = ("".join(folder), label)
    return places


def _misplaced(name: str, names: Sequence[str], in_splits: Sequence[str]) -> str:
    """What is wrong with an image's place: its folder does not have a split's name, or it is in no class's folder."""
    folder, free = name.split("/")[0], [one for one in USUAL_SPLITS if one not in map(split_named, in_splits)]
    near = nearest(folder.lower(), free)
    if name.count("/") == 2 and free and (in_splits or near) and not any(one.count("/") == 1 for one in names):
        return f"the folder {folder} has the name of no split; rename {folder} to {near or ' or '.join(free)}"
    return f"{name} is not in a class folder; {_recognised(names, in_splits)}"


def _recognised(names: Sequence[str], in_splits: Sequence[str]) -> str:
    """The layout that most of the folder has, and what to do with an image that is elsewhere."""
    if in_splits:
        return f"the others are sorted as {IN_SPLITS} ({', '.join(in_splits)}): move or remove it"
    if any(name.count("/") == 1 for name in names):
        return f"the others are sorted as {IN_CLASSES}: move or remove it"
    return LAYOUTS


def _layout(names: Sequence[str]) -> str:
    return IN_SPLITS if _split_folders(filter(is_image_name, names)) else IN_CLASSES


def _split_folders(images: Iterable[str]) -> list[str]:
    """The folders of images, two levels above them, that have the name of a split."""
    return sorted({folder for name in images if name.count("/") == 2 and split_named(folder := name.split("/")[0])})


def _image_names(source: FolderSource) -> list[str]:
    """All image files. Other files, such as a README, may only stand in the top folder."""
    if not source.names and source.empty_folders in ([], [""]):
        raise UserError(f"{source.path} is an empty folder; {LAYOUTS}")
    for folder in source.empty_folders:
        raise UserError(f"{source.path / folder} is an empty folder; put images in it, or remove it")
    for name in source.names:
        folder, _, file = name.rpartition("/")
        if folder and not is_image_name(file):
            raise UserError(
                f"{source.path}: {name} is not an image by its name; the others are sorted as {_layout(source.names)}: "
                f"move it out of {folder}, or save it as PNG"
            )
    names = [name for name in source.names if is_image_name(name)]
    if not names:
        raise UserError(f"{source.path} holds no images in folders; {LAYOUTS}")
    return names


def _read_lists(source: FolderSource) -> dict[str, list[str]]:
    """Classes by split, if the folder has lists of its classes beside `data` or `images`; else none.

    UserError if there are several lists of a split, or two splits share a class.
    """
    files = _list_names(source)
    if not files:
        return {}
    folders = sorted({name.rpartition("/")[0] for name in files})
    if len(folders) > 1:
        raise UserError(f"{source.path} has several lists of its splits, {', '.join(folders)}; keep one of them")
    lists = {Path(name).stem: source.path / name for name in files}
    labels = {split: _read_list(file) for split, file in lists.items()}
    refuse_shared("class", labels, lists)
    return labels


def _list_names(source: FolderSource) -> list[str]:
    """The lists of classes, if the folder of these classes stands beside them."""
    return [name for name in source.names if _LIST.fullmatch(name)] if _listed(source) else []


def _listed(source: FolderSource) -> Path | None:
    """The folder of the classes that lists beside it name."""
    return next((folder for name in ("data", "images") if (folder := source.path / name).is_dir()), None)


def _read_list(file: Path) -> list[str]:
    """The classes of a list, in order."""
    mend = "a text with one class a line is expected"
    try:
        lines = read_file(file, mend=mend).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{file} is not a text in UTF-8; {mend}") from None
    labels = sorted({same_class(line) for line in lines if line.strip()})
    if not labels:
        raise UserError(f"{file} lists no class; {mend}")
    return labels


def _by_lists(source: FolderSource, lists: Mapping[str, Sequence[str]]) -> ClassFolders:
    """The listed classes' images. UserError if a class has none."""
    of_class: Classes = {}
    for name, (_, label) in _places(source).items():
        of_class.setdefault(same_class(label), []).append(name)
    for split, labels in lists.items():
        absent = [label for label in labels if label not in of_class]
        if absent:
            raise UserError(
                f"{source.path} lacks {len(absent)} of the {len(labels)} classes that the list of {split} names: "
                f"{', '.join(absent[:3])}{' ...' if len(absent) > 3 else ''}; add a folder for each"
            )
    files = {split: {label: of_class[label] for label in labels} for split, labels in lists.items()}
    listed = (f"{split} {label}" for split, labels in lists.items() for label in labels)
    return ClassFolders(source, files, digest_of(source.checksum(), *listed), None)
