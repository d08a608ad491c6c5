"""The store: write-once records under `runs/`; what is done, failed, damaged or missing.

A record is the only "done". It is written to a temporary file, synced, and linked to its name,
which fails for a second writer; so it is there whole or not at all, on NFS too.
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
from typing import Any, Literal

from pydantic import ValidationError

from ...results.record import Attempt, PretrainRecord, RunRecord
from .atomic import NoSpaceError, is_full, link_once, no_space, read_file, sync, writing

Kind = Literal["pretrain", "evaluate"]
ATTEMPT = re.compile(r"attempt-(\d+)\.json$")
FREE_MB = 100  # that a store needs before work begins
MODELS = {"pretrain": PretrainRecord, "evaluate": RunRecord}


class DamagedRecordError(ValueError):
    """A record that cannot be read, or whose key is not the name of its folder."""


class StoreError(OSError):
    """The store cannot be written."""


@dataclass(frozen=True)
class Store:
    """The folder of all results."""

    root: Path

    @property
    def prepared(self) -> Path:
        """Where prepared data sets lie."""
        return self.root / "prepared"

    def folder(self, kind: Kind, key: str) -> Path:
        """Return the folder of one pretraining or run."""
        return self.root.joinpath(kind, key)

    def keys(self, kind: Kind) -> set[str]:
        """Return every key that has a folder; those moved aside have a dot in their name."""
        try:
            return {e.name for e in os.scandir(self.root / kind) if "." not in e.name}
        except FileNotFoundError:
            return set()

    def read(self, kind: Kind, key: str, identity: dict[str, Any] | None = None) -> Any:
        """Return the record of `key`, or None if it is not done.

        Args:
            kind: What is recorded.
            key: Of the record.
            identity: Known to have this key: a record that holds it need not be hashed again.

        Raises:
            DamagedRecordError: The file is not a whole record of this key.
        """
        path = self.root.joinpath(kind, key, "record.json")
        try:
            text = read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamagedRecordError(f"{path} cannot be read: {error.strerror}") from None
        try:
            record = MODELS[kind].model_validate_json(text)
            found = key if record.identity == identity else record.computed_key()
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "the file"
            raise DamagedRecordError(f"{path}: {where}: {problem['msg']}") from None
        except ValueError as error:  # NaN in its identity
            raise DamagedRecordError(f"{path}: identity: {error}") from None
        if record.key != key or found != key:
            raise DamagedRecordError(f"{path} holds {found[:12]}, not {key[:12]}")
        return record

    def records(self, kind: Kind) -> Iterator[Any]:
        """Yield every readable record."""
        for key in sorted(self.keys(kind)):
            try:
                record = self.read(kind, key)
            except DamagedRecordError:
                continue
            if record is not None:
                yield record

    def write(self, kind: Kind, record: PretrainRecord | RunRecord) -> bool:
        """Write a record once; return False where another writer was first."""
        folder = self.folder(kind, record.key)
        with writing(folder / "record.json") as temporary:
            temporary.write_text(record.model_dump_json(indent=1) + "\n")
            sync(temporary)
            return link_once(temporary, folder / "record.json")

    def write_attempt(self, kind: Kind, key: str, attempt: Attempt) -> Path:
        """Write a failure into the folder of its pretraining or run; a retry ignores it."""
        folder = self.folder(kind, key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)  # of a killed process
        number = len(list(folder.glob("attempt-*.json"))) + 1
        while True:
            path = folder / f"attempt-{number}.json"
            with writing(path) as temporary:
                temporary.write_text(attempt.model_dump_json(indent=1) + "\n")
                if link_once(temporary, path):
                    return path
            number += 1

    def last_attempt(self, kind: Kind, key: str) -> Attempt | None:
        """Return the newest failure of `key`, or None."""
        paths = self.folder(kind, key).glob("attempt-*.json")
        numbered = [(int(match[1]), path) for path in paths if (match := ATTEMPT.match(path.name))]
        for _, path in sorted(numbered, reverse=True):
            with suppress(ValidationError, OSError):
                return Attempt.model_validate_json(read_file(path))
        return None

    def move_aside(self, kind: Kind, key: str) -> Path | None:
        """Move a folder out of the way, keeping it; return where it went."""
        folder = self.folder(kind, key)
        if not folder.exists():
            return None
        aside = folder.with_name(f"{key}.aside-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        folder.rename(aside)
        return aside

    def check_writable(self) -> None:
        """Raise StoreError unless a file can be written, linked and removed here."""
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
                f"{free_mb} MB are free at {self.root}, work begins with {FREE_MB} MB or more; "
                "free some, or name another folder with --runs or SARBENCH_RUNS",
            )
