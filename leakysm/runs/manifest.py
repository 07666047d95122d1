"""manifest.json: the SHA-256 of the files of a finished run. Without it, a run's files are not checked by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakysm.errors import UserError
from leakysm.files import opened, read_file, write_atomically
from leakysm.runs.folder import RunFolder
from leakysm.small_texts import parse_json

LISTED = (
    "config",
    "formula",
    "metrics",
    "last",
    "best",
    "test_episodes",
    "summary",
)  # timing, environment, picture: for people
LARGEST = 1 << 16  # bytes of manifest.json
LARGEST_FILE = 1 << 32  # bytes
MEND = "put back the run's own files, or train again into another folder"


def write_manifest(folder: RunFolder, summary: bytes | None = None) -> None:
    """List every file of the run that is there. UserError if one cannot be read, or the disk does not take the list.

    summary: the content of summary.json, where it is written after the list: a run that has one counts as finished.
    """
    paths = [getattr(folder, purpose) for purpose in LISTED]
    files = {path.name: _sha256(path) for path in paths if path.exists()}
    if summary is not None:
        files[folder.summary.name] = hashlib.sha256(summary).hexdigest()
    folder.write_json(folder.manifest, {"format": 1, "files": files})


def replace_files(folder: RunFolder, new: Mapping[Path, bytes | memoryview]) -> None:
    """Replace files of a finished run, in this order. Nothing is written where all are there already.

    The manifest first lists the new digests beside the old ones, so that it is right after a kill at any moment. A run
    without one gets one. UserError if the disk does not take a file.
    """
    wanted = {path.name: hashlib.sha256(content).hexdigest() for path, content in new.items()}
    if not folder.manifest.exists():
        write_manifest(folder)
    files, unfinished = _digests(folder.manifest)
    present = {name: _sha256(folder.path / name) for name in (*unfinished, *wanted) if (folder.path / name).exists()}
    final = files | present | wanted
    if present != wanted:
        folder.write_json(folder.manifest, {"format": 1, "files": files | present, "next": wanted})
        for path, content in new.items():
            write_atomically(path, content)
    elif final == files and not unfinished:
        return
    folder.write_json(folder.manifest, {"format": 1, "files": final})


def require_listed(folder: RunFolder, *purposes: str, known: str | None = None) -> None:
    """UserError unless these files of the run have the SHA-256 that manifest.json lists for them, if there is one.

    known: the file's SHA-256, where it is one file that has been read already.
    """
    if not folder.manifest.exists():
        return
    digests, coming = _digests(folder.manifest)
    for path in (getattr(folder, purpose) for purpose in purposes):
        digest = known or _sha256(path)
        if digest not in (digests.get(path.name), coming.get(path.name)):
            raise UserError(
                f"{path} was altered: its SHA-256 is {digest[:12]}..., {folder.manifest.name} lists "
                f"{str(digests.get(path.name))[:12]}...; {MEND}"
            )


def listed(path: Path) -> dict[str, Any]:
    """The digests by the files' names. UserError if this is no manifest of a run."""
    return _digests(path)[0]


def _digests(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The digests by the files' names, and those of the files that are being replaced. UserError as `listed`."""
    try:
        content = parse_json(read_file(path, most=LARGEST, mend=MEND))
        files, coming = content["files"], content.get("next", {})
        if isinstance(files, dict) and isinstance(coming, dict):
            return files, coming
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(f"{path} is damaged; the list of a run's files is expected: {MEND}")


def _sha256(path: Path) -> str:
    with opened(path, most=LARGEST_FILE, mend=MEND) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
