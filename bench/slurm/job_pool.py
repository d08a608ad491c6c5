"""Several runs of a job at once: a local pool of workers over the GPUs of its node.

Each worker stays for all of its part, so it loads the encoder once and passes each data set through
it once.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from ...protocols import PROTOCOLS
from ..identity import Job, Resources, Run
from ..store.records import Store

if TYPE_CHECKING:
    from ..execution.job import Event


def parts(job: Job, workers: int) -> list[Job]:
    """Return a job for each worker, with about equal numbers of heads of each kind.

    Runs that share a head are in one part, and so are seeds that are trained together.
    """
    heads: dict[str, list[Run]] = {}
    for run in job.runs:
        seed = None if PROTOCOLS[run.protocol].together else run.seed
        head = [run.start, run.dataset, run.protocol, run.settings, run.shots, seed]
        heads.setdefault(json.dumps(head, sort_keys=True), []).append(run)
    each = list(heads.values())
    split = [[run for runs in each[first::workers] for run in runs] for first in range(workers)]
    return [replace(job, runs=runs) for runs in split if runs]


def resources_of(resources: Resources, gpus: int, workers: int) -> list[Resources]:
    """Return the resources of each worker; workers take turns at the GPUs."""
    if not resources.device.startswith("cuda"):
        return [resources] * workers
    return [replace(resources, device=f"cuda:{number % max(1, gpus)}") for number in range(workers)]


def execute_in_pool(
    work: Sequence[Job],
    store: Store,
    resources: list[Resources],
    report: Callable[["Event"], None],
    should_stop: Callable[[], bool],
) -> None:
    """Do the missing part of some work in a worker for each of `resources`.

    Raises:
        Interrupted: `should_stop` returned True; finished work is stored.
        NoSpaceError: The disk is full; finished work is stored.
    """
    from ..execution.job import execute, prepare_process
    from ..execution.local_pool import run_jobs
    from ..pretraining.claim import Interrupted

    shared = []
    for job in work:
        if _lacks_start(job, store):  # of a control, which the workers share
            here = replace(resources[0], device="cpu")
            prepare_process(here)
            execute(replace(job, runs=[]), store, here, report, should_stop)
        if not _lacks_start(job, store):  # else its failure is stored
            shared += parts(job, len(resources))
    with closing(run_jobs(shared, store, resources, should_stop)) as events:
        for event in events:
            report(event)
    if should_stop():
        raise Interrupted("the workers have stopped between two runs; finished runs are stored")


def _lacks_start(job: Job, store: Store) -> bool:
    return any(store.read("pretrain", one.key) is None for one in job.pretrainings)


class Started:
    """The keys of the work in progress, from the events of several workers."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    def after(self, event: "Event") -> list[str] | None:
        """Return the keys in progress after an event; None if it does not change them."""
        if event.kind == "started":
            self._keys |= dict.fromkeys(event.keys)
        elif event.kind in ("done", "failed", "elsewhere"):
            for key in event.keys:
                self._keys.pop(key, None)
        else:
            return None
        return list(self._keys)
