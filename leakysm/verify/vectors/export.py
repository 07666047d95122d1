"""Export the reference vectors as npz, JSON or plain text: one file, or one for each operation. See FORMAT.md."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leakysm.errors import UserError
from leakysm.files import write_new
from leakysm.ops.registry import OPERATIONS
from leakysm.small_texts import parse_json
from leakysm.verify.vectors.stored import FORMAT, SCALARS, Group

Groups = Mapping[str, Group]  # of today's format


def export(
    groups: Groups,
    output: Path,
    version: str,
    kind: str | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write groups to one file, whose ending gives the format, or to a folder with a file for each operation.

    kind: the format in a folder, "json" (also None) or "text". version: that of the vectors, from their manifest.
    progress(done, total) is called with numbers of files. Returns the files that were written.
    """
    ending = file_ending(output, kind)
    if ending:
        write_new(output, ENDINGS[ending](groups, version))
        return [output]
    ending = KINDS[kind or "json"]
    output.mkdir(parents=True, exist_ok=True)
    _require_own(output)
    written: list[Path] = []
    parts = dict(_parts(groups))
    for name, part in parts.items():
        progress(len(written), len(parts))
        written.append(output / f"{name}{ending}")
        write_new(written[-1], ENDINGS[ending](part, version))
    return written


def _require_own(folder: Path) -> None:
    """UserError if the folder holds anything but exported vectors of operations or whole nets."""
    for path in sorted(folder.iterdir()):
        name = next((path.name.removesuffix(ending) for ending in KINDS.values() if path.name.endswith(ending)), None)
        if path.name[0] != "." and name not in OPERATIONS and not (name or "").startswith("conv4-"):
            raise UserError(f"{folder} holds something else ({path.name}); name an empty folder, or a new one")


def file_ending(output: Path, kind: str | None) -> str | None:
    """The ending of an output that is one file; None for a folder. UserError if it can be neither."""
    ending = next((known for known in ENDINGS if output.name.endswith(known)), None)
    if ending is None and output.suffix and not output.is_dir():
        raise UserError(
            f"output is {output.name}; a folder, or a name that ends in {_CHOICES}, is expected: choose one"
        )
    if ending and kind:
        raise UserError(f"--format is for a folder, but output is {output.name}, whose ending says how; leave one out")
    return ending


def _parts(groups: Groups) -> Iterator[tuple[str, dict[str, Group]]]:
    """(name of a file, its groups): a file for each operation, and one for each whole net, since nets are large."""
    parts: dict[str, dict[str, Group]] = {}
    for case, group in groups.items():
        operation = case.partition("/")[0]
        name = case.replace("/", "-") if operation == "conv4" else operation
        parts.setdefault(name, {})[case] = group
    yield from parts.items()


def npz_bytes(groups: Groups, version: str) -> bytes:
    """The npz file. Its keys: case/path for an array, case/@name for an attribute, @format and @version."""
    flat: dict[str, Any] = {"@format": FORMAT, "@version": version}
    for name, group in groups.items():
        flat |= {f"{name}/{path}": array for path, array in group.arrays.items()}
        flat |= {f"{name}/@{key}": text for key, text in _texts(group).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **flat)
    return buffer.getvalue()


def _texts(group: Group) -> dict[str, str]:
    return group.contents | group.description


def json_bytes(groups: Groups, version: str) -> bytes:
    """The JSON file. Its numbers are the shortest decimals that give the float64 back."""
    cases = {name: _json_case(group) for name, group in groups.items()}
    whole = {"format": FORMAT, "version": version, "count": len(cases), "cases": cases}
    return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _json_case(group: Group) -> dict[str, Any]:
    """A case as JSON: attributes, then the arrays as a tree. Only the first and the last / of a path divide it."""
    case: dict[str, Any] = {**_texts(group), "parameters": parse_json(group.contents["parameters"].encode())}
    case |= {key: list(filter(None, case[key].split(","))) for key in ("dtypes", "flags", "one_way")}
    case["own"] = case["own"] == "true"
    for path, array in group.arrays.items():
        part, _, rest = path.partition("/")
        if part == "arguments":
            case.setdefault(part, {})[rest] = _json_array(array)
            continue
        name, _, last = rest.rpartition("/")
        node = case.setdefault(part, {})
        if part == "alternatives":
            dtype, _, name = name.partition("/")
            node = node.setdefault(dtype, {})
        node.setdefault(name, {})[last] = float(array) if last in SCALARS else _json_array(array)
    return case


def _json_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    values = array.ravel().tolist()
    if not np.isfinite(array).all():  # JSON has no infinities or NaN
        values = [value if np.isfinite(value) else str(value) for value in values]
    return {"dtype": str(array.dtype), "shape": array.shape, "values": values}


def text_bytes(groups: Groups, version: str) -> bytes:
    """The plain text file: lines of words with one space between them."""
    lines = [f"leakysm-vectors {FORMAT} {version} {len(groups)}"]
    for name, group in groups.items():
        lines.append(f"case {name}")
        texts = _texts(group)
        lines += [f"text {key} {text}".rstrip() for key, text in texts.items() if key != "parameters"]
        lines += [f"parameter {key} {value}" for key, value in _flat(parse_json(texts["parameters"].encode()))]
        lines += [_text_line(path, array) for path, array in group.arrays.items()]
    return "\n".join([*lines, f"end {len(groups)}\n"]).encode()


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters as (name, value); those of a metric or restriction follow it as distance.threshold and so on."""
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{key}", value["restriction" if "restriction" in value else "operation"]
            yield from _flat(value["parameters"], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text_line(path: str, array: np.ndarray[Any, Any]) -> str:
    words = ["array", path, array.dtype, array.ndim, *array.shape, *array.ravel().tolist()]
    return " ".join(map(str, words))


def _zipped(groups: Groups, version: str) -> bytes:
    """Gzip with the strategy for data with few repetitions. For digits the result is a tenth smaller than usual."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return packer.compress(json_bytes(groups, version)) + packer.flush()


ENDINGS: Mapping[str, Callable[[Groups, str], bytes]] = {
    ".npz": npz_bytes,
    ".json": json_bytes,
    ".json.gz": _zipped,
    ".txt": text_bytes,
}
KINDS = {"json": ".json.gz", "text": ".txt"}  # in a folder
_CHOICES = ".npz, .json, .json.gz or .txt"
