"""The store: write-once records of pretrainings and runs, and attempts that failed.

Work is done if and only if its record exists. A record is written to a temporary file, synced, and
linked to its name; the link fails for a second writer. So a record is complete or does not exist,
on NFS too.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ...results.record import Attempt, PretrainRecord, RunRecord, digest_json
from ..identity import Kind
from .atomic import NoSpaceError, is_full, no_space, read_file, write_once
from .run_predictions import NAMES, REDO, read_predictions

ENCODER, HISTORY = "encoder.safetensors", "history.jsonl"
# Names the source of a pretraining that was merged without its weights.
UNWEIGHTED = "merged_without_weights.txt"
ATTEMPT = re.compile(r"attempt-(\d+)\.json$")
FREE_MB = 100  # free space that a store needs before work begins
MODELS = {"pretrain": PretrainRecord, "evaluate": RunRecord}


class DamagedRecordError(ValueError):
    """A record that cannot be read, or whose key differs from the name of its folder."""


class StoreError(OSError):
    """A store that cannot be written."""


@dataclass(frozen=True)
class Store:
    """The folder of all results."""

    root: Path

    @property
    def shown(self) -> Path:
        """The path that a user knows."""
        return self.root

    @property
    def prepared(self) -> Path:
        """The folder of prepared data sets."""
        return self.root / "prepared"

    @property
    def has_results(self) -> bool:
        """True if the folder holds pretrainings or runs."""
        return any((self.root / kind).is_dir() for kind in MODELS)

    def folder(self, kind: Kind, key: str) -> Path:
        """Return the folder of one pretraining or run."""
        return self.root.joinpath(kind, key)

    def record(self, kind: Kind, key: str) -> Path:
        """Return the record of one pretraining or run."""
        return self.root.joinpath(kind, key, "record.json")

    def file(self, kind: Kind, key: str, name: str) -> Path:
        """Return a file in the folder of a pretraining or run."""
        return self.folder(kind, key) / name

    def encoder(self, key: str) -> Path:
        """Return the weights of a pretraining."""
        return self.root.joinpath("pretrain", key, ENCODER)

    def history(self, key: str) -> Path:
        """Return the history of a pretraining: a line at the start and after each epoch."""
        return self.root.joinpath("pretrain", key, HISTORY)

    def keys(self, kind: Kind) -> set[str]:
        """Return the keys of all folders except those moved aside, whose names contain a dot."""
        try:
            return {e.name for e in os.scandir(self.root / kind) if "." not in e.name}
        except FileNotFoundError:
            return set()

    def records(self, kind: Kind) -> Iterator[Any]:
        """Yield every record of the store, by key; errors as of `read`."""
        for key in sorted(self.keys(kind)):
            if (record := self.read(kind, key)) is not None:
                yield record

    def content(self, path: Path, largest: int | None = None) -> bytes:
        """Return the content of a file of the store; arguments and errors as of `read_file`."""
        return read_file(path, largest)

    def read_predictions(
        self, path: Path, digest: str, names: tuple[str, ...] = NAMES
    ) -> dict[str, np.ndarray]:
        """Return the predictions of a run; arguments and errors as of `read_predictions`."""
        return read_predictions(path, digest, names, self.content)

    def read(self, kind: Kind, key: str, identity: dict[str, Any] | None = None) -> Any:
        """Return the record of `key`, or None if there is none.

        Args:
            kind: `pretrain` or `evaluate`.
            key: Key of the record.
            identity: The identity with this key; a record that holds it is not hashed again.

        Raises:
            DamagedRecordError: The file is not a complete record of this key.
        """
        path = self.record(kind, key)
        try:
            text = self.content(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamagedRecordError(f"{path} cannot be read: {error.strerror}") from None
        try:
            record = MODELS[kind].model_validate_json(text)
            found = key if record.identity == identity else digest_json(record.identity)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "the file"
            raise DamagedRecordError(f"{path}: {where}: {problem['msg']}") from None
        except ValueError as error:  # NaN in its identity
            raise DamagedRecordError(f"{path}: identity: {error}") from None
        if record.key != key or found != key:
            raise DamagedRecordError(
                f"{path} holds the record of {found[:12]}, not of {key[:12]}; {REDO}"
            )
        return record

    def write(self, kind: Kind, record: PretrainRecord | RunRecord) -> bool:
        """Write a record once; return False if another writer was first."""
        text = record.model_dump_json(indent=1) + "\n"
        return write_once(self.record(kind, record.key), text.encode())

    def write_attempt(self, kind: Kind, key: str, attempt: Attempt) -> Path:
        """Write a failure into the folder of its pretraining or run; retries ignore it."""
        folder = self.folder(kind, key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)  # a killed process leaves it
        number = len(list(folder.glob("attempt-*.json"))) + 1
        text = attempt.model_dump_json(indent=1) + "\n"
        while not write_once(path := folder / f"attempt-{number}.json", text.encode()):
            number += 1
        return path

    def last_attempt(self, kind: Kind, key: str) -> Attempt | None:
        """Return the newest failure of `key`, or None."""
        paths = self.folder(kind, key).glob("attempt-*.json")
        numbered = [(int(match[1]), path) for path in paths if (match := ATTEMPT.match(path.name))]
        for _, path in sorted(numbered, reverse=True):
            with suppress(ValidationError, OSError):
                return Attempt.model_validate_json(read_file(path))
        return None

    def move_aside(self, kind: Kind, key: str) -> Path | None:
        """Rename a folder so that its key is free; return its new path, None if there is none."""
        folder = self.folder(kind, key)
        if not folder.exists():
            return None
        aside = folder.with_name(f"{key}.aside-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        folder.rename(aside)
        return aside

    def check_writable(self) -> None:
        """Write, link and remove a file in the store.

        Raises:
            StoreError: This fails.
            NoSpaceError: The disk is full, or less than `FREE_MB` are free.
        """
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_text("")
            linked = probe.with_suffix(".linked")
            os.link(probe, linked)
            linked.unlink()
            probe.unlink()
        except OSError as error:
            if is_full(error):
                raise no_space(self.root) from error
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}); "
                "name another folder with --runs or SARBENCH_RUNS"
            ) from error
        free_mb = shutil.disk_usage(self.root).free // 2**20
        if free_mb < FREE_MB:
            raise NoSpaceError(
                errno.ENOSPC,
                f"{free_mb} MB are free at {self.root}, a store needs {FREE_MB} MB; free some "
                "space, or name another folder with --runs or SARBENCH_RUNS",
            )


def record_difference(ours: Any, theirs: Any, here: str = "here", there: str = "there") -> str:
    """Return the fields in which two records of one key differ, except provenance and speed.

    Metrics of scores follow from the predictions, and those of other packages from what was
    installed; drift is equal up to rounding.
    """
    kept = set(type(ours).model_fields) - {
        "provenance", "images_per_s", "metrics", "lower_is_better", "drift"
    }  # fmt: skip
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in sorted(kept)}
    return "; ".join(
        f"{name} is {_short(one)} {here} and {_short(other)} {there}"
        for name, (one, other) in pairs.items()
        if one != other
    )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)
