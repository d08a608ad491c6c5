"""The execution of a job: one pretraining and the runs that start from it.

A job holds plain values and finds its work in the store by key. Stored work is skipped, so a killed
job can be started again.
"""

import os
import platform
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
from ..data.prepare import open_version
from ..data.set_descriptions import add_stored_cards
from ..evaluation.evaluate import Evaluation, group_runs
from ..identity import GIVEN, Job, Kind, Pretraining, Resources, Run
from ..machine import keep_freed_memory
from ..pretraining.claim import Interrupted, RunningElsewhereError
from ..pretraining.distributed import ALONE, Ranks
from ..pretraining.loop import pretrain
from ..store.atomic import NoSpaceError, is_full, no_space
from ..store.attempts import attempt_of, record_failure
from ..store.progress import Progress
from ..store.records import Store
from .given_import import import_given
from .job_chips import pool_of_job, watched_of_job

SLOW_BF16 = (
    "precision is bf16, which this processor computes more slowly than fp32; use a processor with "
    'AVX-512 BF16 or AMX, or set precision = "fp32" under [pretrain]'
)
DETERMINISTIC = "SARBENCH_DETERMINISTIC"  # 1: the same bits in every run on one GPU, more slowly


class DeviceError(ValueError):
    """The requested device does not exist."""

    failure_class = "node_failure"  # a request is checked before; a job finds no GPU on its node


class DeviceLostError(RuntimeError):
    """A GPU that stopped working, at least for this process."""

    failure_class = "node_failure"


class KernelError(RuntimeError):
    """Code that broke the work of the GPU for this process."""

    failure_class = "exception"


CODE_ERRORS = "device-side assert", "illegal memory access", "misaligned address"  # CUDA's words


@dataclass(frozen=True)
class Event:
    """A message from a job to its parent process.

    `elsewhere`: another process trains this pretraining, so the job skips it and its runs.
    `full`: the disk is full.
    """

    kind: Literal["started", "progress", "done", "failed", "elsewhere", "warning", "full"]
    what: Kind = "pretrain"
    keys: list[str] = field(default_factory=list)
    text: str = ""
    progress: Progress | None = None


def prepare_process(resources: Resources) -> None:
    """Set the device and the number of threads of this process.

    Raises:
        DeviceError: The device is a GPU, and torch sees none or cannot compute on it.
    """
    torch.set_num_threads(resources.threads)
    # Else a step may fault in its pages again and again, up to 20% of its time on a CPU; the peak
    # is the same (tests/benchmarks/README.md).
    keep_freed_memory(2**31 - 1, 2**30, 2**25)  # an old glibc takes the second size
    if not resources.device.startswith("cuda"):
        return
    if os.environ.get(DETERMINISTIC) == "1":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if not torch.cuda.is_available():
        raise DeviceError(f"the device is {resources.device}, but torch sees no GPU in this job")
    if reason := device_fault(resources.device):
        raise DeviceError(
            f"the device is {resources.device}, but it does not compute: {reason}; check it with "
            "nvidia-smi, or choose another one"
        )
    torch.cuda.set_device(resources.device)


def device_fault(device: str) -> str:
    """Return the reason for which a device does not compute in this process; empty if it does."""
    if not device.startswith("cuda"):
        return ""
    try:
        torch.zeros(1, device=device).item()
    except RuntimeError as error:  # after a fault every call fails
        return str(error).strip().splitlines()[0]
    return ""


def _emulates_bf16() -> bool:
    """Return whether this processor has no arithmetic for bf16; known for x86 only."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def execute(
    job: Job,
    store: Store,
    resources: Resources,
    report: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> None:
    """Do the missing part of a job. A failure is stored and reported, and the rest continues.

    Each piece of work is reported as `started` before its data are opened, so the parent knows
    which piece failed if this process is killed.

    Raises:
        Interrupted: `should_stop` returned True; finished work is stored.
        NoSpaceError: The disk is full; finished work is stored.
    """
    add_stored_cards(store.root)
    for _ in job.pretrainings:  # again while another process holds a state that is still needed
        missing = _without_record(job, store, ranks, resources)
        if not missing:
            break
        if failed := _pretrain(job, missing, store, resources, report, should_stop, ranks):
            rest = job.only({one.key for one in job.pretrainings} - set(failed))
            if rest is None:
                return
            job = rest  # states of the training from before it failed
            break
    starts = {one.key: one for one in job.pretrainings}
    places = {key: place for place, key in enumerate(starts)}

    def part(run: Run) -> tuple[int, str]:
        return places[run.start], run.dataset

    missing_runs = [run for run in job.runs if store.read("evaluate", run.key) is None]
    for (_, dataset), group in groupby(sorted(missing_runs, key=part), part):
        runs = list(group)
        every = [run.key for run in runs]
        report(Event("started", "evaluate", every, f"{job.label}: opening {dataset}"))
        device = resources.device
        with recording_failures("evaluate", every, store, report, device) as failed:
            digests = runs[0].data_digest, runs[0].split_digest
            chips = open_version(card_of(dataset), *digests, store.prepared)
            read = [run for run in runs if PROTOCOLS[run.protocol].kind == "features"]
            readouts = {run.settings["readout"] for run in read}
            evaluation = Evaluation(
                starts[runs[0].start], chips, store, resources, readouts,
                lambda text, every=every: report(Event("warning", "evaluate", every, text)),
            )  # fmt: skip
        if failed:
            continue
        for together in group_runs(runs, device):
            if all(store.read("evaluate", run.key) for run in together.runs):
                continue  # another process has stored them
            keys = [run.key for run in together.runs]
            report(Event("started", "evaluate", keys, job.label))
            with recording_failures("evaluate", keys, store, report, device):
                for record in evaluation.run(together):
                    report(Event("done", "evaluate", [record.key], job.label))
            if should_stop():
                raise Interrupted("stopped between two runs; finished runs are stored")


def _without_record(
    job: Job, store: Store, ranks: Ranks, resources: Resources
) -> list[Pretraining]:
    """Return the pretrainings that are missing, the longest first; the first process looks."""
    looked = job.pretrainings if ranks.first else ()
    keys = [one.key for one in looked if store.read("pretrain", one.key) is None]
    keys = ranks.from_first(keys, resources.device)
    return [one for one in job.pretrainings if one.key in keys]


def _pretrain(
    job: Job,
    missing: list[Pretraining],
    store: Store,
    resources: Resources,
    report: Callable[[Event], None],
    should_stop: Callable[[], bool],
    ranks: Ranks,
) -> list[str]:
    """Train the longest of `missing`, and the others on its way; return the keys that failed."""
    longest, *earlier = missing
    key, keys = longest.key, [one.key for one in missing]
    report(Event("started", "pretrain", keys, job.label))
    if longest.precision == "bf16" and resources.device == "cpu" and _emulates_bf16():
        report(Event("warning", "pretrain", [key], SLOW_BF16))
    with recording_failures("pretrain", keys, store, report, resources.device) as failed:
        if job.given is not None:
            if ranks.first:
                import_given(longest, job.given, store, resources)
            ranks.wait()
        if longest.method != GIVEN:
            pretrain(
                longest,
                pool_of_job(job, store),
                store,
                resources,
                ranks=ranks,
                watched=watched_of_job(job, store),
                earlier=earlier,
                should_stop=should_stop,
                on_progress=lambda p: report(Event("progress", "pretrain", [key], job.label, p)),
                on_earlier=lambda one: report(
                    Event("done", "pretrain", [one.key], f"{job.label}, at {one.at}")
                ),
                warn=lambda message: report(Event("warning", "pretrain", [key], message)),
            )
        report(Event("done", "pretrain", [key], job.label))
    return [one for one in failed if store.read("pretrain", one) is None]


@contextmanager
def recording_failures(
    what: Kind, keys: list[str], store: Store, report: Callable[[Event], None], device: str
) -> Iterator[list[str]]:
    """Store an exception as a failed attempt of every key without a record, and report it.

    The list that it yields is empty until the work fails or is skipped; then it holds the keys.

    Raises:
        DeviceLostError: The GPU does not compute any more. The caller ends the process, whose
            parent records the failure and does the rest in a new one.
        KernelError: The same, by an error in the code.
    """
    ended: list[str] = []
    try:
        yield ended
    except (Interrupted, NoSpaceError):
        raise
    except RunningElsewhereError as error:
        ended += keys
        report(Event("elsewhere", what, keys, str(error)))
    except Exception as error:  # a method may raise anything; other work continues
        if isinstance(error, OSError) and is_full(error):
            raise no_space(Path(error.filename or store.root)) from error
        if fault := device_fault(device):
            raise _device_error(device, error, fault) from error
        ended += keys
        report_failure(what, keys, store, report, attempt_of(error))


def _device_error(device: str, error: Exception, fault: str) -> RuntimeError:
    """Return the error of a GPU that does not compute any more, after `error`."""
    if any(words in f"{error} {fault}" for words in CODE_ERRORS):
        return KernelError(
            f"an error in the code has broken {device} for this process: {error}; run it on a "
            "CPU to see the line"
        )
    return DeviceLostError(
        f"{device} does not compute any more: {fault} (first seen as {type(error).__name__}: "
        f"{error}); checkpoints and finished runs are kept. Check the GPU with nvidia-smi and "
        "rerun, or resubmit on another node"
    )


def report_failure(
    what: Kind, keys: list[str], store: Store, report: Callable[[Event], None], attempt: Attempt
) -> None:
    """Store a failure of every key without a record, and report it once."""

    def warn(message: str) -> None:
        report(Event("warning", what, keys, message))

    failed = record_failure(store, what, keys, attempt, warn)
    report(Event("failed", what, failed, f"{attempt.failure}: {attempt.message}"))
