"""The folder of a run: its files' names, and what is refused before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from leakysm.errors import UserError
from leakysm.files import create_atomically, expanded, printable, read_file, require_path, write_atomically, write_new
from leakysm.locks import locked
from leakysm.ops.formula_file import FormulaFile
from leakysm.runs.checkpoint import Checkpoint, load_checkpoint
from leakysm.runs.schema import TF32
from leakysm.runs.settings import TrainConfig, conv4_size, differing, formula_text, in_full, read_settings, shown
from leakysm.runs.sound import require_sound
from leakysm.strict_json import json_bytes

FILES = {
    "config": "config.toml",
    "formula": "formula.py",
    "environment": "environment.json",
    "metrics": "metrics.csv",
    "timing": "timing.csv",
    "last": "checkpoint-last.h5",
    "best": "checkpoint-best.h5",
    "summary": "summary.json",
    "test_episodes": "test-episodes.h5",
    "curves": "curves.png",
    "manifest": "manifest.json",
}
OLDER_LINES = {  # of a configuration, and how they are written now
    r"^threads = \d+\n": "",
    **{rf"^tf32 = {str(older).lower()}\n": f'products = "{now}"\n' for older, now in TF32.items()},
}
# What may be in the folder of a run that has not begun.
LEFTOVERS = (*FILES.values(), "failure.txt", "config.toml.lock")
# What a resumed run may change: no bit depends on the number of threads, and the data's checksum must be the same.
FREE = ("threads", "data")


class RunFolder:
    """The folder of a run, and the paths of its files by purpose: `folder.config`, `folder.metrics` and so on."""

    config: Path
    formula: Path
    environment: Path
    metrics: Path
    timing: Path
    last: Path
    best: Path
    summary: Path
    test_episodes: Path
    curves: Path
    manifest: Path

    def __init__(self, path: Path | str) -> None:
        require_path("the run's folder", path)
        self.path = expanded(path)
        for purpose, name in FILES.items():
            setattr(self, purpose, self.path / name)

    def begin(self, config: TrainConfig, *, resume: bool) -> TrainConfig:
        """Make the folder and write config.toml; or, if it holds a run to resume, check that this is the same run.

        Returns the stored configuration. UserError if the folder holds a run and `resume` is false, or if that run's
        configuration differs.
        """
        self.refuse_a_run(resume=resume)
        stored = self.stored_config()
        if stored:
            self.refuse_another(stored, vars(config))
            self._keep_formula(config)
            return replace(stored, own=config.own)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; choose another --out") from None
        self._keep_formula(config)  # before config.toml, with which a run begins
        try:
            create_atomically(self.config, config.to_toml().encode())
        except FileExistsError:
            raise UserError(
                f"{self.path} already holds a run ({self.config.name}), which another process has just begun; "
                "choose another --out"
            ) from None
        return config

    def _keep_formula(self, config: TrainConfig) -> None:
        if formula_text(config):
            write_new(self.formula, formula_text(config))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this run, which has begun; the lock ends with the process. UserError if another process holds it.

        On a file system without locks nothing is locked: there, two processes must not share a folder.
        """
        with locked(self.config, wait=False) as held:
            if not held:
                raise UserError(
                    f"{self.path}: another process is training this run; wait for it, or choose another --out"
                )
            yield

    def checkpoint(self, path: Path, config: TrainConfig) -> Checkpoint:
        """The checkpoint `path` of this run. UserError if it is missing, damaged, or of another configuration."""
        checkpoint = load_checkpoint(path)
        if _as_written_now(checkpoint.config) != config.to_toml():
            raise UserError(
                f"{path} belongs to another run than {self.config.name} (their settings differ); put the right one "
                "back, or choose another folder"
            )
        if checkpoint.formula and FormulaFile(path, checkpoint.formula).digest != config.formula:
            raise UserError(
                f"{path} holds another formula than {self.config.name} states; put back the run's own file, or train "
                "again into another folder"
            )
        try:
            require_sound(checkpoint, config.optimizer, conv4_size(config), bool(config.learn_scale))
        except UserError as error:
            raise UserError(f"{path} is not from a run: {error}; put back an undamaged copy, or train again") from None
        return checkpoint

    def refuse_a_run(self, *, resume: bool) -> None:
        """UserError if there is a run, or a part of one, or anything else, that must not be written over."""
        files = [name for name in FILES.values() if name != self.formula.name and (self.path / name).exists()]
        if not self.config.exists():
            if other := self._other_content():
                raise UserError(
                    f"{self.path} is not empty and holds no run (there is {printable(other)}); choose another --out"
                )
            if files:
                raise UserError(f"{self.path} holds {files[0]} but no config.toml; choose another --out")
        if files and not resume:
            raise UserError(
                f"{self.path} already holds a run ({files[0]}); choose another --out, or continue it with --resume"
            )
        if not self.last.exists():
            for path in (self.metrics, self.summary):
                if path.exists():
                    raise UserError(
                        f"{self.path} holds {path.name} but no checkpoint-last.h5; put it back, or choose another --out"
                    )

    def _other_content(self) -> str | None:
        """A name in the folder that is none of a run's files; None if it is empty, or not there."""
        try:
            names = sorted(path.name for path in self.path.iterdir())
        except OSError:  # reported when the folder is made
            return None
        return next((name for name in names if not name.startswith(".") and name not in LEFTOVERS), None)

    def stored_config(self, *, trust: bool = False) -> TrainConfig | None:
        """The configuration of the run in this folder; None if there is no run. UserError if the file is damaged.

        trust: whether the code of an own formula may be run. The configuration's metric is a UserError if it may not.
        """
        if not self.config.exists():
            return None
        settings = read_settings(self.config)
        code = self._code(settings["formula"], trust) if "formula" in settings else None
        try:
            return TrainConfig(**settings, own=code)
        except TypeError:  # a key is missing
            raise UserError(
                f"{self.config} is not complete; put back an undamaged copy, or choose another --out"
            ) from None

    def _code(self, digest: str, trust: bool) -> FormulaFile:
        """The kept text of the run's formula: of its file, or of a checkpoint if the file is gone.

        UserError if neither is there, or if it is not the one that the digest is of.
        """
        held = self.formula.exists() and self._code_of_checkpoint(trust)
        instead = "delete it, for a checkpoint holds the text" if held else "train again into another folder"
        mend = f"put back the run's own file, or {instead}"
        code = None if self.formula.exists() else self._code_of_checkpoint(trust)
        code = code or FormulaFile.read(self.formula, trusted=trust, mend=mend)
        if code.digest != digest:
            what = "holds another formula" if code.path != self.formula else "was altered"
            raise UserError(
                f"{code.path} {what}: its SHA-256 is {code.digest[:12]}..., {self.config.name} states "
                f"{digest[:12]}...; {mend}"
            )
        return code

    def _code_of_checkpoint(self, trust: bool) -> FormulaFile | None:
        """The text that a checkpoint holds; None if none does, as those of older versions."""
        paths = (path for path in (self.best, self.last) if path.exists())
        return next((FormulaFile(path, text, trust) for path in paths if (text := load_checkpoint(path).formula)), None)

    def episodes(self) -> int:
        """How many training episodes metrics.csv holds so far."""
        try:
            return max(0, read_file(self.metrics, mend="put it back").count(b"\n") - 1)
        except UserError:
            return 0

    def reached(self) -> int:
        """After which training episode a resumed run goes on. UserError if the checkpoint is damaged."""
        return load_checkpoint(self.last).episode if self.last.exists() else 0

    def require_config(self, *, trust: bool = False) -> TrainConfig:
        """The configuration of the run in this folder, as `stored_config`. UserError also if there is no run."""
        config = self.stored_config(trust=trust)
        if config is None:
            found = f"holds no run (no {self.config.name})" if self.path.exists() else "does not exist"
            raise UserError(f"{self.path} {found}; name a folder that leakysm train wrote")
        return config

    def tested(self) -> Path:
        """Path of the best checkpoint, or of the last while there is no best. UserError if a finished run lacks it."""
        if self.summary.exists() and self.last.exists() and not self.best.exists():
            raise UserError(f"{self.best} is missing, but {self.summary.name} names it; put it back, or train again")
        return self.best if self.best.exists() else self.last

    def refuse_another(self, stored: TrainConfig, given: Mapping[str, Any]) -> None:
        """UserError for the first given setting that differs from the stored run's.

        A resumed run may have other settings of FREE; but the data's place only once there is a checkpoint, whose
        checksum tells whether the data are the same.
        """
        free = FREE if self.last.exists() else ("threads",)
        key = differing(stored, {key: value for key, value in given.items() if key not in free})
        if key == "formula":
            raise UserError(
                f"{self.path}: the text of {stored.distance} differs from that of the run to resume, which is in "
                f"{self.formula.name}; put that text back, or choose another --out"
            )
        if key:
            before = in_full(key, getattr(stored, key))
            found = f"{key} is {shown(key, before)} in the run to resume"
            if before is None:
                found = f"the run to resume has no {key}"
            raise UserError(
                f"{self.path}: {found}, but {shown(key, in_full(key, given[key]))} is given; "
                f"leave {key} out, or choose another --out"
            )

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write JSON that people can read, atomically."""
        write_atomically(path, json_bytes(content))


def _as_written_now(config: str) -> str:
    """A configuration as it is written now: older ones may hold the number of threads, and tf32."""
    for older, now in OLDER_LINES.items():
        config = re.sub(older, now, config, flags=re.MULTILINE)
    return config
