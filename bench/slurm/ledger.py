"""The ledger: one file for each submission, with the keys of each job.

The file is `<runs>/ledger/<submission>.json`. A folder of the same name holds logs and the files of
submitit. Results are only in the store; the ledger connects them with jobs.
"""

import json
import os
import pickle
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..identity import Job, Kind, labels_of
from ..store.atomic import write_atomic
from ..store.leases import LEASE_S, LeaseHeldError, holder, lease
from ..store.provenance import host, now
from ..store.records import Store
from .profile import Allocation

TASK = "_submitted.pkl"  # the end of the name of a file with a pickled task


class LedgerError(OSError):
    """Another process is using the ledger."""

    exit_status = 1


class Element(BaseModel):
    """One job: a pretraining, or a pack of runs.

    `pretraining` is the one that the first run starts from, and `label` names all.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    label: str
    pretraining: str  # key
    runs: list[str]  # keys; empty if the job is the pretraining
    earlier: list[str] = []  # keys of the pretrainings that this one writes on its way

    @classmethod
    def of(cls, work: Sequence[Job]) -> "Element":
        """Return the element of a job with this work."""
        first = work[0]
        return cls(
            label=labels_of(work),
            pretraining=first.pretraining.key,
            runs=[run.key for job in work for run in job.runs],
            earlier=[one.key for one in first.earlier],
        )


class Asked(BaseModel):
    """Resources of the jobs of an array that differ from the profile; None: as in the profile."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    memory_gb: float | None = None
    time_min: int | None = None

    @classmethod
    def most(cls, several: Iterable["Asked"]) -> "Asked":
        """Return the largest value of each resource."""
        given = list(several)
        return cls(
            memory_gb=max((one.memory_gb for one in given if one.memory_gb), default=None),
            time_min=max((one.time_min for one in given if one.time_min), default=None),
        )

    def of(self, allocation: Allocation) -> Allocation:
        """Return an allocation with these resources."""
        return allocation.model_copy(update=self.model_dump(exclude_none=True))


class Array(BaseModel):
    """Jobs that were submitted together; element i is `<job_id>_<i>`, or `<job_id>` if alone."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    stage: Kind
    after: str | None  # the job that it depends on
    job_id: str | None  # None until sbatch has answered
    elements: list[Element]
    asked: Asked = Asked()

    def job(self, index: int) -> str | None:
        """Return the id of one element's job."""
        alone = len(self.elements) == 1
        return self.job_id if alone or self.job_id is None else f"{self.job_id}_{index}"


class Submission(BaseModel):
    """One call of `submit` or `retry`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    grid: str
    user: str
    host: str
    time: float  # seconds since the epoch
    code: str  # digest
    profile: dict[str, Any]
    arrays: list[Array]

    def places(self) -> Iterator[tuple[str, Array, int]]:
        """Yield every key with the array and the index of the job that holds it."""
        for array in self.arrays:
            for index, element in enumerate(array.elements):
                for key in element.runs or [element.pretraining, *element.earlier]:
                    yield key, array, index

    def array_folder(self, store: Store, name: str) -> Path:
        """Return the folder of submitit's files and the logs of the jobs of an array."""
        return folder(store) / self.id / name

    def task_file(self, store: Store, array: Array, index: int) -> Path:
        """Return the file with the pickled task of a job; submitit writes it."""
        return self.array_folder(store, array.name) / f"{array.job(index)}{TASK}"

    def logs(self, store: Store, array: Array, index: int) -> list[Path]:
        """Return the logs of the processes of a job, the first process first."""
        return sorted(self.array_folder(store, array.name).glob(f"{array.job(index)}_*_log.out"))


def folder(store: Store) -> Path:
    """Return the folder of the ledger of a store."""
    return store.root / "ledger"


def new_submission(grid: str, code: str, profile: dict[str, Any]) -> Submission:
    """Return an empty submission with a unique name."""
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + secrets.token_hex(3)
    user = os.environ.get("USER") or str(os.getuid())
    return Submission(
        id=name, grid=grid, user=user, host=host(), time=time.time(), code=code, profile=profile,
        arrays=[],
    )  # fmt: skip


def write(store: Store, submission: Submission) -> None:
    """Write or rewrite a submission's file."""
    text = submission.model_dump_json() + "\n"
    path = folder(store) / f"{submission.id}.json"
    write_atomic(path, text)


def read(store: Store, warn: Callable[[str], None]) -> list[Submission]:
    """Return every submission, oldest first; a damaged file is rebuilt from its job files."""
    found = []
    for path in sorted(folder(store).glob("[0-9]*.json")):
        try:
            found.append(Submission.model_validate_json(path.read_bytes()))
        except ValidationError:
            rebuilt = _rebuild(path)
            known = sum(len(array.elements) for array in rebuilt.arrays)
            warn(f"{path} is damaged; {known} of its jobs were found in the folder next to it")
            found.append(rebuilt)
    return sorted(found, key=lambda submission: submission.time)


def _rebuild(path: Path) -> Submission:
    """Rebuild a submission from the tasks in the folder next to its file."""
    arrays = []
    for place in sorted(path.with_suffix("").iterdir()) if path.with_suffix("").is_dir() else []:
        tasks = {}
        for file in place.glob(f"*{TASK}"):
            if file.stat().st_uid != os.getuid():
                continue  # a pickle can run code, so only files of this user are opened
            with file.open("rb") as content:
                tasks[file.name.removesuffix(TASK)] = pickle.load(content).args[0]
        for job, task in tasks.items():  # every element as an array of its own
            element = Element.of(task.work)
            arrays.append(
                Array(name=place.name, stage=task.stage, after=None, job_id=job, elements=[element])
            )
    return Submission(
        id=path.stem, grid="", user="", host="", time=path.stat().st_mtime, code="", profile={},
        arrays=arrays,
    )  # fmt: skip


@contextmanager
def submitting(
    store: Store, report: Callable[[str], None], wait_s: float = LEASE_S + 15
) -> Iterator[None]:
    """Hold the lock for submissions into a store, which one process at a time can have.

    Raises:
        LedgerError: Another process held the lock for longer than `wait_s`.
    """
    path = folder(store) / "submitting"
    note = folder(store) / "submitting.json"  # process, user and start, for messages
    reported = False

    def report_once() -> bool:
        nonlocal reported
        if not reported:
            report(f"waiting for {_holder(path, note)}, which is submitting into this store")
            reported = True
        return False

    try:
        with lease(path, report_once, wait_s):
            user = os.environ.get("USER", "")
            write_atomic(note, json.dumps({"pid": os.getpid(), "user": user, "since": now()}))
            yield
            note.unlink(missing_ok=True)
    except LeaseHeldError:
        raise LedgerError(
            f"{_holder(path, note)} is submitting into this store; submit again when it has ended"
        ) from None


def _holder(path: Path, note: Path) -> str:
    """Return the process that holds the lock, with its user and start if known."""
    text = holder(path)
    try:
        value = json.loads(note.read_text())
        known = text.startswith(f"process {value['pid']} on ")
        return f"{text} ({value['user']}, since {value['since']})" if known else text
    except (OSError, ValueError, KeyError, TypeError):
        return text
