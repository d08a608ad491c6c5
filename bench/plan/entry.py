"""A planned pretraining or run with its state in the store."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from ...results.record import Attempt, PretrainRecord, RunRecord
from ..grid.expand import PlannedPretraining, PlannedRun
from ..identity import Kind, Pretraining
from ..store.progress import last_checkpoint, read_progress, steps_of
from ..store.records import DamagedRecordError, Store
from .failure_class import classify
from .stale import StaleIndex

State = Literal["new", "queued", "running", "done", "failed", "stale"]
P = TypeVar("P", PlannedPretraining, PlannedRun)


class Cause(StrEnum):
    """The cause of a state that is new, stale or failed."""

    NOT_PREPARED = "not_prepared"
    NOT_TIMED = "not_timed"  # its step, for a budget in core-seconds
    NOT_TUNED = "not_tuned"
    TRIALS_FAILED = "trials_failed"  # all trials of [tune]
    NOT_RUN = "not_run"
    STOPPED = "stopped"  # a checkpoint is stored
    VERSION = "version"  # stored, but of another version of the method or protocol
    DATA = "data"  # stored, but of other pixels, another split or pool
    DAMAGED = "damaged"
    ERROR = "error"  # stored as an attempt
    PRETRAINING_FAILED = "pretraining_failed"
    NO_WEIGHTS = "no_weights"  # its pretraining is done, but the store holds no weights of it
    JOB_ENDED = "job_ended"  # on the cluster, without a record or an attempt


SENTENCES = {
    Cause.NOT_PREPARED: "not prepared",
    Cause.NOT_TIMED: "its step is not timed yet; run does that",
    Cause.NOT_TUNED: "its recipe is not tuned yet; run does that",
    Cause.TRIALS_FAILED: "all its trials failed; --tuning shows them",
    Cause.NOT_RUN: "not run yet",
    Cause.STOPPED: "stopped at {}; run resumes it",
    Cause.VERSION: "stored with other {}",
    Cause.DATA: "stored with other {}",
    Cause.DAMAGED: "its record is damaged: {}",
    Cause.ERROR: "{}",
    Cause.PRETRAINING_FAILED: "its pretraining failed: {}",
    Cause.NO_WEIGHTS: (
        "the weights of its pretraining are not in the store; merge a store that has them, or "
        "repeat the pretraining and its runs: `sarbench run GRID -m '{}' --force`"
    ),
    Cause.JOB_ENDED: "{}",
}


WAITS = {
    "": Cause.NOT_PREPARED, "timing": Cause.NOT_TIMED, "tuning": Cause.NOT_TUNED,
    "failed tuning": Cause.TRIALS_FAILED,
}  # fmt: skip


@dataclass
class Entry(Generic[P]):
    """A planned pretraining or run, and its state."""

    planned: P
    state: State
    cause: Cause | None = None  # None: done, queued or running
    detail: str = ""  # completes the sentence of the cause; without a cause, the sentence itself
    record: PretrainRecord | RunRecord | None = None
    attempt: Attempt | None = None  # its newest failure
    failure_class: str | None = None  # of its failure
    job: str | None = None  # of the cluster

    @property
    def key(self) -> str | None:
        """The key, or None until the data are prepared."""
        return self.planned.identity.key if self.planned.identity else None

    @property
    def learns(self) -> bool:
        """True for a pretraining with steps; false for a control and for a run."""
        return getattr(self.planned.identity, "recipe", None) is not None

    @property
    def to_do(self) -> bool:
        """True if it is missing and can be done."""
        return self.state != "done" and self.cause != Cause.NO_WEIGHTS

    @property
    def reason(self) -> str:
        """The state in words."""
        return SENTENCES[self.cause].format(self.detail) if self.cause else self.detail

    def set(
        self,
        state: State,
        cause: Cause | None = None,
        detail: str = "",
        failure_class: str | None = None,
    ) -> None:
        """Change the state; the class of an earlier failure is forgotten."""
        self.state, self.cause, self.detail = state, cause, detail
        self.failure_class = failure_class


def done_entry(planned: P, record: PretrainRecord | RunRecord) -> Entry[P]:
    """Return the entry of a finished pretraining or run, with the day on which it started."""
    return Entry(planned, "done", detail=record.provenance.started[:10], record=record)


def find_entry(kind: Kind, planned: P, store: Store, stale: StaleIndex) -> Entry[P]:
    """Look up a planned pretraining or run in the store."""
    identity = planned.identity
    if identity is None:
        start = planned if isinstance(planned, PlannedPretraining) else planned.pretraining
        return Entry(planned, "new", WAITS[start.waits_for])
    try:
        record = store.read(kind, identity.key, identity.to_json())
    except DamagedRecordError as error:
        return Entry(planned, "failed", Cause.DAMAGED, str(error))
    if record is not None:
        return done_entry(planned, record)
    folder = store.folder(kind, identity.key)
    if running := read_progress(folder):
        place = f"{running.progress} on {running.host}"
        return Entry(planned, "running", detail=place)
    attempt = store.last_attempt(kind, identity.key) if folder.exists() else None
    if attempt is not None:
        return Entry(
            planned, "failed", Cause.ERROR, f"{attempt.failure}: {attempt.message}",
            attempt=attempt, failure_class=classify(attempt),
        )  # fmt: skip
    if isinstance(identity, Pretraining) and (step := last_checkpoint(folder)):
        return Entry(planned, "new", Cause.STOPPED, f"step {step} of {steps_of(identity)}")
    if differs := stale.difference(identity):
        cause = Cause.VERSION if any("version" in name for name in differs) else Cause.DATA
        return Entry(planned, "stale", cause, ", ".join(differs))
    return Entry(planned, "new", Cause.NOT_RUN)
