"""Every format that we read: a small file of it, the reader that a command uses, and the mutations that fit it."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.faults import mutants as m


@dataclass(frozen=True)
class Format:
    """file: the one that is altered, in the format's folder. begin: fills the folder. read: the reader, in a child.

    digest: a reader can know that anything was altered. write: puts the altered content in its place; a format that is
    signed anew has the right digest again.
    """

    name: str
    file: str
    begin: Callable[[Path], None]
    read: Callable[[Path], Any]
    mutations: tuple[m.Mutation, ...] = m.BYTES
    digest: bool = False
    write: Callable[[Path, bytes], None] = lambda path, content: _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# A run's folder

SETTINGS: dict[str, Any] = {"dataset": "folder", "way": 3, "query": 2, "episodes": 4, "checkpoint_every": 2}
SETTINGS |= {"test_way": (2, 3), "test_query": 3, "test_episodes": 5, "device": "cpu", "backend": "numpy", "threads": 1}


def _data() -> Any:
    from leakysm.data import ClassSet, Dataset
    from leakysm.data.inputs import InputFormat

    rng, sets = np.random.default_rng(0), {}
    for split in ("train", "val", "test"):
        images = rng.integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)
        sets[split] = ClassSet(images, np.arange(0, 25, 6), tuple(f"{split}{i}" for i in range(4)))
    return Dataset("folder", sets, InputFormat.unscaled((16, 16, 1)), "digest")


def _config() -> Any:
    from leakysm.runs.fill_in import fit, with_defaults

    return fit(with_defaults({**SETTINGS, "data": "/nowhere"}), _data())


def begin_run(folder: Path) -> None:
    """A finished run."""
    from leakysm.runs import train

    train(_config(), data=_data(), out=folder)


def begin_half(folder: Path) -> None:
    """A run that was cut off after its second episode."""

    class Stop(Exception):  # noqa: N818
        pass

    def stop(progress: Any) -> None:
        if progress.phase == "train" and progress.done == 3:
            raise Stop

    from leakysm.runs import train

    with suppress(Stop):
        train(_config(), data=_data(), out=folder, report=stop)


def _read_run(folder: Path) -> Any:
    """What `compare` reads of a run."""
    from leakysm.experiments.finished import read_run

    run = read_run(folder)
    return run.config, run.data_digest, run.tests


def _restored(folder: Path) -> Any:
    """What `predict`, `evaluate` and `export` make of a run."""
    from leakysm.backends import backend
    from leakysm.exchange.torch_layout import to_torch
    from leakysm.exchange.weights import metadata
    from leakysm.runs import restore

    run = restore(folder, backend("numpy"))
    height, width, channels = run.checkpoint.inputs.image_shape
    if height * width * channels > 1 << 20:
        raise MemoryError("image_shape")
    images = np.zeros((2, height, width, channels), np.uint8)
    return to_torch(run.checkpoint.net), metadata(run, "torch"), np.asarray(run.embed(images, "running"))


def _resumed(folder: Path) -> Any:
    """What `train --resume` makes of a run."""
    from leakysm.runs import train
    from leakysm.runs.folder import RunFolder

    summary = train(RunFolder(folder).require_config(), data=_data(), out=folder, resume=True)
    return summary.tests, (folder / "metrics.csv").read_bytes()


def _curves(folder: Path) -> Any:
    from leakysm.runs.journal import read_metrics

    return read_metrics(folder / "metrics.csv")


def signed(content: bytes) -> bytes:
    """A checkpoint or another sealed file with the SHA-256 of what it holds in its first block."""
    kind = content.partition(b";")[0].decode(errors="replace")
    block = f"{kind}; SHA-256 of the bytes after 512: {hashlib.sha256(content[512:]).hexdigest()}\n"
    return block.encode().ljust(512, b"\0")[:512] + content[512:]


def _write_signed(path: Path, content: bytes) -> None:
    path.write_bytes(signed(content))


def _write_unlisted(path: Path, content: bytes) -> None:
    """In a run without a list of digests, as older ones are."""
    path.write_bytes(content)
    (path.parent / "manifest.json").unlink()


# Data sets


def _files(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def _begin_cache(folder: Path) -> None:
    _cached(folder)
    (made,) = folder.glob("folder-*.h5")
    made.rename(folder / "cache.h5")


def _cached(folder: Path) -> Any:
    from leakysm.data.cache import cached

    return cached("folder", "checksum", lambda: dict(_data().splits), folder)


def _read_cache(folder: Path) -> Any:
    """What a command reads of a cache; one that fails is made anew."""
    from leakysm.data import cache

    splits, digest = cache.cached("folder", "checksum", lambda: dict(_data().splits), folder)
    return [(name, one.images, one.starts, one.names) for name, one in sorted(splits.items())], digest


def _write_cache(path: Path, content: bytes) -> None:
    """Under the name that the cache looks for."""
    from leakysm.data import cache

    key = cache.digest_of(f"format {cache._FORMAT}", "folder", "checksum")
    path.with_name(f"folder-{key[:16]}.h5").write_bytes(content)


def _sets(data: Any) -> Any:
    return [(name, one.images, one.starts, one.names) for name, one in data.splits.items()], data.inputs.to_arrays()


def _begin_photographs(folder: Path) -> None:
    from tests.data.conftest import write_photographs

    write_photographs(folder, {"train": ["cat", "dog"], "val": ["fox", "gnu"], "test": ["hen", "jay"]}, 1)


def _photographs(folder: Path) -> Any:
    from leakysm.data import load

    return _sets(load("caltech101", folder, cache_dir=folder / "cache"))


def _begin_pictures(folder: Path) -> None:
    from tests.data.conftest import noise, png

    _files(folder, {f"{k}/{i}.png": png(noise(k + 9 * i, 16, 16)) for k in range(4) for i in range(2)})


def _pictures(folder: Path) -> Any:
    from leakysm.data import load

    return _sets(load("folder", folder, cache_dir=folder.parent / f"{folder.name}-cache"))


def _image(folder: Path) -> Any:
    """What `predict` reads of a user's own image."""
    from leakysm.data.inputs import InputFormat
    from tests.data.own_images import read_for_net

    return read_for_net([folder / "0/0.png"], InputFormat.unscaled((16, 16, 1)))


def _begin_pickles(folder: Path) -> None:
    from tests.data.conftest import noise

    content = {"image_data": noise(0, 4, 84, 84, 3), "class_dict": {"n01": [0, 1], "n02": [2, 3]}}
    (folder / "cache.pkl").write_bytes(pickle.dumps(content, protocol=4))


def _pickles(folder: Path) -> Any:
    from leakysm.data.miniimagenet_pickles import read_split

    return read_split(folder / "cache.pkl")


@contextmanager
def _small_omniglot() -> Iterator[None]:
    from leakysm.data import omniglot

    omniglot.PARTS.update(images_background=2, images_evaluation=1)
    omniglot.DRAWERS = 2
    yield


def _begin_omniglot(folder: Path) -> None:
    from tests.data.conftest import characters, write_zip

    for part, count in (("images_background", 2), ("images_evaluation", 1)):
        write_zip(folder / f"{part}.zip", characters(part, {"Ada": count}, 2))


def _omniglot(folder: Path) -> Any:
    from leakysm.data import load

    with _small_omniglot():
        return _sets(load("omniglot", folder, cache_dir=folder / "cache"))


def _begin_within(folder: Path) -> None:
    from tests.data.conftest import drawing, write_zip

    one = drawing(1)
    files: dict[str, bytes] = {}
    for r in range(1, 21):
        run = f"run{r:02d}"
        files |= {f"{run}/training/class{k:02d}.png": one for k in range(1, 21)}
        files |= {f"{run}/test/item{k:02d}.png": one for k in range(1, 21)}
        lines = [f"{run}/test/item{k:02d}.png {run}/training/class{k:02d}.png" for k in range(1, 21)]
        files[f"{run}/class_labels.txt"] = "\n".join(lines).encode()
    write_zip(folder / "all_runs.zip", files)


def _within(folder: Path) -> Any:
    from leakysm.data.within_alphabet import within_alphabet

    return within_alphabet(folder / "all_runs.zip")


def _begin_photograph(folder: Path) -> None:
    from PIL import Image

    from tests.data.conftest import noise

    Image.fromarray(noise(0, 20, 24, 3)).save(folder / "0.jpg", "JPEG")


def _photograph(folder: Path) -> Any:
    from leakysm.data.inputs import InputFormat
    from tests.data.own_images import read_for_net

    return read_for_net([folder / "0.jpg"], InputFormat.unscaled((16, 16, 3)))


def _begin_lists(folder: Path) -> None:
    from tests.data.conftest import noise, png

    _files(folder, {f"data/{k}/{i}.png": png(noise(k + 9 * i, 16, 16)) for k in range(4) for i in range(2)})
    _files(folder, {"splits/my/train.txt": b"0\n1\n", "splits/my/test.txt": b"2\n3\n"})


# Weights, embeddings


def _begin_weights(folder: Path) -> None:
    from leakysm.backends import backend
    from leakysm.exchange.weights import SUFFIXES, write_weights
    from leakysm.nets import Conv4

    state = Conv4(1, channels=2, seed=0, engine=backend("reference")).state()
    for suffix in SUFFIXES:
        write_weights(folder / f"weights{suffix}", state, {"format": "np"})


def _weights(suffix: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        from leakysm.exchange.weights import read_weights

        return read_weights(folder / f"weights{suffix}")

    return read


def _begin_npy(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "embeddings.npy", rng.normal(size=(6, 4)).astype(np.float32))
    np.save(folder / "labels.npy", np.repeat(np.arange(3), 2))
    with h5py.File(folder / "embeddings.h5", "w") as file:
        file["embeddings"], file["labels"] = rng.normal(size=(6, 4)).astype(np.float32), np.repeat(np.arange(3), 2)


def _npy(folder: Path) -> Any:
    from leakysm.experiments.gradients.embeddings import read_embeddings

    return read_embeddings(folder / "embeddings.npy", folder / "labels.npy")


def _embeddings_h5(folder: Path) -> Any:
    from leakysm.experiments.gradients.embeddings import read_embeddings

    return read_embeddings(folder / "embeddings.h5")


# Vectors


def _begin_vectors(folder: Path) -> None:
    from tests.faults.commands import write_few_vectors

    write_few_vectors(str(folder / "vectors"))


def _vectors(folder: Path) -> Any:
    """What `vectors list`, `check` and `export` read."""
    from leakysm.verify.vectors import stored
    from leakysm.verify.vectors.checks import check_bytes, check_files
    from leakysm.verify.vectors.export import json_bytes
    from leakysm.verify.vectors.older import upgraded

    where = folder / "vectors"
    manifest = check_bytes(where)
    listed = stored.read(where / stored.OPERATIONS, arrays=False)
    json.dumps({name: group.description for name, group in listed.items()})
    counts = check_files(where, dict.fromkeys((stored.OPERATIONS, stored.NETS), 0))
    groups = {case: upgraded(group) for case, group in stored.read(where / stored.OPERATIONS).items()}
    return counts, hashlib.sha256(json_bytes(groups, str(manifest["version"]))).hexdigest(), listed


def _exported(folder: Path) -> Any:
    """What `vectors export` makes of them."""
    from leakysm.verify.vectors.checks import check_bytes, read_checked
    from leakysm.verify.vectors.export import ENDINGS
    from leakysm.verify.vectors.older import upgraded

    where = folder / "vectors"
    manifest = check_bytes(where)
    version = str(manifest["version"])
    groups = {case: upgraded(group) for case, group in read_checked(where, manifest).items()}
    return [hashlib.sha256(make(groups, version)).hexdigest() for ending, make in ENDINGS.items() if ending != ".npz"]


def _write_vectors_signed(path: Path, content: bytes) -> None:
    """With the file's SHA-256 in the manifest; the digests of the cases stay."""
    path.write_bytes(content)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["files"]["operations.h5"]["sha256"] = hashlib.sha256(content).hexdigest()
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


# Texts

_SWEEP = b"""dataset = "folder"
data = "pictures"
way = 3
query = 1
episodes = 2
test_way = [2, 3]
learning_rate = 0.001
norm = "episode"
[grid]
seed = [0, 1]
slope = [0.1, 0.5]
[[control]]
distance = "euclidean"
"""
_EXPECTED = b"# of ours\nrelu/plain/float32/y  # theirs is right\nsquared_*/*  # float16\n"


def _begin_sweep(folder: Path) -> None:
    (folder / "sweep.toml").write_bytes(_SWEEP)


def _sweep(folder: Path) -> Any:
    from leakysm.experiments.sweep.file import read_sweep
    from leakysm.experiments.sweep.points import points

    machine = {"device": "cpu", "backend": "numpy", "threads": 1}
    return points(read_sweep(folder / "sweep.toml"), machine, lambda settings: _data())


def _begin_expected(folder: Path) -> None:
    (folder / "expected.txt").write_bytes(_EXPECTED)


def _expected(folder: Path) -> Any:
    from leakysm.verify.conformance import read_expected_file

    return read_expected_file(folder / "expected.txt")


# Results of experiments, as `report` reads them

_SEEDS = [{"seed": k, "accuracy": 50.0 + k, "interval": 2.5, "run": f"a/seed-{k}"} for k in range(2)]
_SETTING = {"accuracy": 50.5, "interval": 3.0, "seeds": _SEEDS}
_COMPARISON = {
    "dataset": "folder",
    "training_episodes": 4,
    "baseline": "a",
    "seeds": [0, 1],
    "tests": [{"way": 2, "shot": 1, "query": 1, "episodes": 4, "settings": [_SETTING | {"setting": s} for s in "ab"]}],
}
_GRADIENTS = {"seeds": [0], "steps": 2, "settings": [{"setting": s, "config": {"slope": 0.1}} for s in "ab"]}


def _begin_results(folder: Path) -> None:
    from leakysm.training.trainer import STEP_COLUMNS

    rows = [",".join(["setting,seed,step", *STEP_COLUMNS])]
    rows += [",".join([s, "0", str(step), *["0.5"] * len(STEP_COLUMNS)]) for s in "ab" for step in range(2)]
    (folder / "gradients.csv").write_text("\n".join([*rows, ""]))
    for name, content in (("comparison", _COMPARISON), ("gradients", _GRADIENTS)):
        (folder / f"{name}.json").write_text(json.dumps(content))


def _compared(folder: Path) -> Any:
    from leakysm.report.stored import StoredComparison, read_stored

    return read_stored(folder / "comparison.json", StoredComparison).model_dump()


def _traces(folder: Path) -> Any:
    from leakysm.report.stored import StoredGradients, read_gradients, read_stored

    stored = read_stored(folder / "gradients.json", StoredGradients)
    return stored.model_dump(), read_gradients(folder / "gradients.csv", stored)


_PNG = (*m.BYTES, m.postscript, m.other_image, m.other_image)
_ZIP = (*m.BYTES, m.zip_member, m.zip_member, m.zip_member)
_JSON = (*m.BYTES, m.json_value, m.json_value, m.json_value)
_TOML = (*m.BYTES, m.toml_line, m.toml_line, m.toml_line)
_CSV = (*m.BYTES, m.csv_line, m.csv_line, m.csv_line)
_CHECKPOINT = (*m.HDF5, m.hdf5_object, m.hdf5_object, m.hdf5_attribute, m.hdf5_attribute)

FORMATS = {
    one.name: one
    for one in (
        Format("config.toml", "config.toml", begin_run, _read_run, _TOML, digest=True),
        Format("config.toml, not listed", "config.toml", begin_run, _read_run, _TOML, write=_write_unlisted),
        Format("summary.json", "summary.json", begin_run, _read_run, _JSON, digest=True),
        Format("summary.json, not listed", "summary.json", begin_run, _read_run, _JSON, write=_write_unlisted),
        Format("manifest.json of a run", "manifest.json", begin_run, _read_run, _JSON),
        Format("comparison.json", "comparison.json", _begin_results, _compared, _JSON),
        Format("gradients.csv", "gradients.csv", _begin_results, _traces, _CSV),
        Format("test-episodes.h5", "test-episodes.h5", begin_run, _read_run, m.HDF5, digest=True),
        Format(
            "test-episodes.h5, signed anew", "test-episodes.h5", begin_run, _read_run, _CHECKPOINT, write=_write_signed
        ),
        Format("metrics.csv, drawn", "metrics.csv", begin_run, _curves, _CSV),
        Format("metrics.csv, resumed", "metrics.csv", begin_half, _resumed, _CSV, digest=True),
        Format("checkpoint", "checkpoint-best.h5", begin_run, _restored, m.HDF5, digest=True),
        Format("checkpoint, signed anew", "checkpoint-best.h5", begin_run, _restored, _CHECKPOINT, write=_write_signed),
        Format("checkpoint, resumed", "checkpoint-last.h5", begin_half, _resumed, _CHECKPOINT, write=_write_signed),
        Format("cache", "cache.h5", _begin_cache, _read_cache, m.HDF5, digest=True, write=_write_cache),
        Format("embeddings .npy", "embeddings.npy", _begin_npy, _npy, (*m.BYTES, *[m.npy_header] * 6)),
        Format("labels .npy", "labels.npy", _begin_npy, _npy, (*m.BYTES, *[m.npy_header] * 6)),
        Format("embeddings .h5", "embeddings.h5", _begin_npy, _embeddings_h5, m.HDF5),
        Format("weights .npz", "weights.npz", _begin_weights, _weights(".npz"), (*_ZIP, *[m.npz_header] * 6)),
        Format(
            "weights .safetensors",
            "weights.safetensors",
            _begin_weights,
            _weights(".safetensors"),
            (*m.BYTES, *[m.safetensors_header] * 6),
        ),
        Format("vectors", "vectors/operations.h5", _begin_vectors, _vectors, m.HDF5, digest=True),
        Format(
            "vectors, signed anew",
            "vectors/operations.h5",
            _begin_vectors,
            _vectors,
            _CHECKPOINT,
            write=_write_vectors_signed,
        ),
        Format(
            "vectors, exported",
            "vectors/operations.h5",
            _begin_vectors,
            _exported,
            _CHECKPOINT,
            write=_write_vectors_signed,
        ),
        Format("manifest.json of vectors", "vectors/manifest.json", _begin_vectors, _vectors, _JSON),
        Format("sweep .toml", "sweep.toml", _begin_sweep, _sweep, _TOML),
        Format("pickle", "cache.pkl", _begin_pickles, _pickles, (*m.BYTES, *[m.pickle_opcode] * 8)),
        Format("Omniglot zip", "images_background.zip", _begin_omniglot, _omniglot, _ZIP),
        Format("within-alphabet zip", "all_runs.zip", _begin_within, _within, _ZIP),
        Format("label table", "train.csv", _begin_photographs, _photographs, _CSV),
        Format("images.zip", "images.zip", _begin_photographs, _photographs, _ZIP),
        Format("picture in a folder", "0/0.png", _begin_pictures, _pictures, _PNG),
        Format("own image", "0/0.png", _begin_pictures, _image, _PNG),
        Format("own photograph", "0.jpg", _begin_photograph, _photograph, _PNG),
        Format("list of classes", "splits/my/train.txt", _begin_lists, _pictures, _CSV),
        Format("expected failures", "expected.txt", _begin_expected, _expected, _CSV),
    )
}


def begin(name: str, folder: str) -> None:
    """In a child: make and fill a folder for the format."""
    Path(folder).mkdir(parents=True)
    FORMATS[name].begin(Path(folder))


class Place:
    """A format's folder, and one mutant after another in it."""

    def __init__(self, form: Format, root: Path) -> None:
        self.form, self.folder = form, root / "".join(letter for letter in form.name if letter.isalnum())
        self.kept = root / "kept" / form.begin.__name__  # formats that begin alike share it

    def content(self) -> bytes:
        """The undamaged file's."""
        return (self.kept / self.form.file).read_bytes()

    def renew(self) -> None:
        """The folder without any damage."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.folder)

    def put(self, content: bytes) -> None:
        """The folder with this content in the file's place."""
        self.renew()
        self.form.write(self.folder / self.form.file, content)
