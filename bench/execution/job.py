"""Execute a job: one pretraining and the runs that start from it.

A job holds plain values and finds its work by key. Stored work is skipped, so a killed job may be
started again.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

import torch

from ...protocols import PROTOCOLS
from ...results.record import Attempt
from ..data.names import card_of
from ..data.pools import Pool, open_pool
from ..data.prepare import open_version
from ..evaluation.evaluate import Evaluation, batches
from ..identity import Job, Resources, Run
from ..pretraining.claim import Interrupted, RunningElsewhereError
from ..pretraining.distributed import ALONE, Ranks
from ..pretraining.loop import pretrain
from ..store.atomic import NoSpaceError, is_full, no_space
from ..store.progress import Progress
from ..store.provenance import host, now
from ..store.records import Kind, Store


class DeviceError(ValueError):
    """The device that was asked for is not there."""


@dataclass(frozen=True)
class Event:
    """A message of a job to the process that watches it.

    `elsewhere` means that another process trains the pretraining; its runs are left to it.
    """

    kind: Literal["started", "progress", "done", "failed", "elsewhere", "warning", "full"]
    what: Kind = "pretrain"
    keys: list[str] = field(default_factory=list)
    text: str = ""
    progress: Progress | None = None


def prepare_process(resources: Resources) -> None:
    """Give this process its device and its number of threads, whoever started it."""
    torch.set_num_threads(resources.threads)
    if resources.device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise DeviceError(f"{resources.device} was asked for, torch sees no GPU in this job")
        torch.cuda.set_device(resources.device)


def execute(
    job: Job,
    store: Store,
    resources: Resources,
    tell: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> None:
    """Do what is missing of a job; a failure is stored, reported, and stops nothing else.

    Each piece is reported as `started` before anything of it is read, so that it can be named if
    this process is killed.

    Raises:
        Interrupted: `should_stop` said so; what is finished is stored.
        NoSpaceError: The disk is full: nothing that follows could be stored.
    """
    key = job.pretraining.key
    if store.read("pretrain", key) is None:
        tell(Event("started", "pretrain", [key], job.label))
        with failures("pretrain", [key], store, tell) as outcome:
            pretrain(
                job.pretraining,
                _pool(job, store),
                store,
                resources,
                ranks=ranks,
                should_stop=should_stop,
                on_progress=lambda p: tell(Event("progress", "pretrain", [key], job.label, p)),
                warn=lambda message: tell(Event("warning", "pretrain", [key], message)),
            )
            tell(Event("done", "pretrain", [key], job.label))
        if not outcome.ok:
            return
    missing = [run for run in job.runs if store.read("evaluate", run.key) is None]
    for dataset, group in groupby(sorted(missing, key=_dataset), _dataset):
        runs = list(group)
        every = [run.key for run in runs]
        tell(Event("started", "evaluate", every, f"{job.label}: opening {dataset}"))
        with failures("evaluate", every, store, tell) as outcome:
            digests = runs[0].data_digest, runs[0].split_digest
            chips = open_version(card_of(dataset), *digests, store.prepared)
            readouts = {run.settings["readout"] for run in runs if _reads_features(run)}
            evaluation = Evaluation(job.pretraining, chips, store, resources, readouts)
        if not outcome.ok:
            continue
        for batch in batches(runs):
            if all(store.read("evaluate", run.key) for run in batch.runs):
                continue  # another process was faster
            keys = [run.key for run in batch.runs]
            tell(Event("started", "evaluate", keys, job.label))
            with failures("evaluate", keys, store, tell):
                for record in evaluation.run(batch):
                    tell(Event("done", "evaluate", [record.key], job.label))
            if should_stop():
                raise Interrupted("stopped between two runs; what is finished is stored")


def _dataset(run: Run) -> str:
    return run.dataset


def _reads_features(run: Run) -> bool:
    return PROTOCOLS[run.protocol].kind == "features"


def _pool(job: Job, store: Store) -> Pool | None:
    identity = job.pretraining
    if identity.recipe is None:
        return None
    digests = [(member["digest"], member.get("split", "")) for member in identity.pool]
    return open_pool(job.pool, digests, store.prepared, identity.pool_cap, identity.pool_fraction)


@dataclass
class Outcome:
    """Whether the guarded work went well."""

    ok: bool = True


@contextmanager
def failures(
    what: Kind, keys: list[str], store: Store, tell: Callable[[Event], None]
) -> Iterator[Outcome]:
    """Turn an exception into a stored attempt of every key that has no record yet."""
    outcome = Outcome()
    try:
        yield outcome
    except (Interrupted, NoSpaceError):
        raise
    except RunningElsewhereError as error:
        outcome.ok = False
        tell(Event("elsewhere", what, keys, str(error)))
    except Exception as error:  # a method may raise anything; it must not stop the others
        if isinstance(error, OSError) and is_full(error):
            raise no_space(Path(error.filename or store.root)) from error
        outcome.ok = False
        record_failure(
            what, keys, store, tell, type(error).__name__, str(error), traceback.format_exc()
        )


def record_failure(
    what: Kind,
    keys: list[str],
    store: Store,
    tell: Callable[[Event], None],
    failure: str,
    message: str,
    trace: str = "",
) -> None:
    """Store a failure of every key that has no record yet, and tell it once."""
    failed = [key for key in keys if store.read(what, key) is None]
    attempt = Attempt(failure=failure, message=message, traceback=trace, host=host(), time=now())
    for key in failed:
        try:
            store.write_attempt(what, key, attempt)
        except NoSpaceError:
            raise
        except OSError as error:  # the failure is told, if it cannot be kept
            tell(Event("warning", what, [key], f"the failure could not be stored: {error}"))
    tell(Event("failed", what, failed, f"{failure}: {message}"))
