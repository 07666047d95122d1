"""The folder of a run: its files' names, and what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from leakysm.errors import UserError
from leakysm.files import create_atomically, remove_leftovers, write_atomically
from leakysm.locks import locked
from leakysm.runs.checkpoint import Checkpoint, load_checkpoint
from leakysm.runs.settings import TrainConfig, differing, read_settings
from leakysm.strict_json import json_text

FILES = {
    "config": "config.toml",
    "environment": "environment.json",
    "metrics": "metrics.csv",
    "timing": "timing.csv",
    "last": "checkpoint-last.h5",
    "best": "checkpoint-best.h5",
    "summary": "summary.json",
    "test_episodes": "test-episodes.h5",
    "curves": "curves.png",
}
FREE = ("threads", "data")  # changes no bit of a run: threads never, the data's place while the checksum is the same


class RunFolder:
    """Paths by what they are for: `folder.config`, `folder.metrics` and so on."""

    config: Path
    environment: Path
    metrics: Path
    timing: Path
    last: Path
    best: Path
    summary: Path
    test_episodes: Path
    curves: Path

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        for purpose, name in FILES.items():
            setattr(self, purpose, self.path / name)

    def begin(self, config: TrainConfig, *, resume: bool) -> TrainConfig:
        """Make the folder and write config.toml, or see that a run to resume is this one. The stored configuration.

        UserError if it holds a run and `resume` is false, or if that run's configuration is another.
        """
        self.refuse_a_run(resume=resume)
        stored = self.stored_config()
        if stored:
            self.refuse_another(stored, asdict(config))
            return stored
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; choose another --out") from None
        try:
            create_atomically(self.config, config.to_toml().encode())
        except FileExistsError:
            raise UserError(
                f"{self.path} already holds a run ({self.config.name}), which another process began just now; "
                "choose another --out"
            ) from None
        return config

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this run, which has begun; the system lets go of it when a process dies. UserError if another has it.

        A file system without locks goes without: there two processes must not share a folder.
        """
        with locked(self.config, wait=False) as held:
            if not held:
                raise UserError(f"{self.path}: another process is at this run; wait for it, or choose another --out")
            for name in FILES.values():
                remove_leftovers(self.path / name)
            yield

    def checkpoint(self, path: Path, config: TrainConfig) -> Checkpoint:
        """The checkpoint `path` of this run. UserError if it is missing, damaged, or of another configuration."""
        checkpoint = load_checkpoint(path)
        if checkpoint.config != config.to_toml():
            raise UserError(
                f"{path} is another run's than {self.config.name} (their settings differ); put the right one back, "
                "or choose another folder"
            )
        return checkpoint

    def refuse_a_run(self, *, resume: bool) -> None:
        """UserError if there is a run, or a part of one, that must not be written over."""
        found = [name for name in FILES.values() if (self.path / name).exists()]
        if found and not resume:
            raise UserError(
                f"{self.path} already holds a run ({found[0]}); choose another --out, or go on with --resume"
            )
        if found and not self.config.exists():
            raise UserError(f"{self.path} holds {found[0]} but no config.toml; choose another --out")
        if self.metrics.exists() and not self.last.exists():
            raise UserError(
                f"{self.path} holds metrics.csv but no checkpoint-last.h5; put it back, or choose another --out"
            )

    def stored_config(self) -> TrainConfig | None:
        """The configuration of the run in this folder; None if there is no run. UserError if the file is damaged."""
        if not self.config.exists():
            return None
        settings = read_settings(self.config)
        try:
            return TrainConfig(**settings)
        except TypeError:  # a key is missing
            raise UserError(
                f"{self.config} is not whole; put back an undamaged copy, or choose another --out"
            ) from None

    def require_config(self) -> TrainConfig:
        """The configuration of the run in this folder. UserError if there is no run, or the file is damaged."""
        config = self.stored_config()
        if config is None:
            raise UserError(f"{self.path} holds no run (no {self.config.name}); name a folder that leakysm train wrote")
        return config

    def tested(self) -> Path:
        """The best checkpoint, or the last where there is no best yet. UserError if a finished run's best is gone."""
        if self.summary.exists() and self.last.exists() and not self.best.exists():
            raise UserError(f"{self.best} is missing, which {self.summary.name} tells of; put it back, or train again")
        return self.best if self.best.exists() else self.last

    def refuse_another(self, stored: TrainConfig, given: Mapping[str, Any]) -> None:
        """UserError that names the first given setting that is not the stored run's, of those that decide it.

        Before there is a checkpoint the data's place is one of them: nothing tells yet whether the data are the same.
        """
        free = FREE if self.last.exists() else ("threads",)
        key = differing(stored, {key: value for key, value in given.items() if key not in free})
        if key:
            raise UserError(
                f"{self.path}: {key} is {getattr(stored, key)!r} in the run to resume, but {given[key]!r} is given; "
                f"leave {key} out, or choose another --out"
            )

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Atomically, for people to read."""
        write_atomically(path, (json_text(content, indent=2) + "\n").encode())
