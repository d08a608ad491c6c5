"""Progress of the jobs of `sarbench run`, from their events; imports torch."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..execution.job import Event
from ..identity import Job
from .app import print_error, warn
from .progress import Bar, Clock, Progress


@dataclass
class _Part:
    """A job, its runs that have not ended, and the bar of its pretraining."""

    job: Job
    open_runs: set[str]
    failed: int = 0
    began: float | None = None
    bar: Bar | None = None


@dataclass
class JobProgress:
    """Shows the events of jobs: runs done, steps of each pretraining, failures.

    Attributes:
        shown: The display.
        runs: The task that counts runs.
        elsewhere: Keys of pretrainings that another process trains.
    """

    shown: Progress
    runs: Bar
    elsewhere: set[str] = field(default_factory=set)
    clock: Clock = time.monotonic
    _parts: dict[str, _Part] = field(default_factory=dict)

    def follow(self, jobs: Iterable[Job], events: Iterable[Event]) -> None:
        """Show every event until the last."""
        for job in jobs:
            part = _Part(job, {run.key for run in job.runs})
            keys = [one.key for one in job.pretrainings]
            self._parts |= dict.fromkeys([*keys, *part.open_runs], part)
        self.shown.add(self.runs)
        for event in events:
            self._show(event)

    def _show(self, event: Event) -> None:
        part = self._parts.get(event.keys[0]) if event.keys else None
        if part is None:  # a failure of runs that another process has stored meanwhile
            print_error(event.text)
            return
        if part.began is None:
            part.began = self.clock()
        if event.kind == "progress":
            self._show_step(part, event)
        elif event.kind == "done" and event.what == "pretrain":
            self._end_pretraining(part, event.text)
        elif event.kind == "done":
            self.runs.done += 1
            self.shown.update(self.runs)
            self._end_runs(part, event.keys)
        elif event.kind == "failed":
            print_error(f"{part.job.label}: {event.text}")
            if event.what == "evaluate":
                part.failed += len(event.keys)
                self._end_runs(part, event.keys)
            elif part.bar:
                self.shown.remove(part.bar)
                part.bar = None
        elif event.kind == "elsewhere":
            self.elsewhere |= set(event.keys)
        elif event.kind == "warning":
            warn(event.text)

    def _show_step(self, part: _Part, event: Event) -> None:
        now = event.progress
        if now is None:
            return
        if part.bar is None:
            part.bar = Bar(f"  {part.job.label}", now.steps, "steps")
            self.shown.add(part.bar)
        part.bar.done = now.step
        part.bar.detail = f"{now.images_per_s:.0f} images/s, loss {now.loss:.4f}"
        self.shown.update(part.bar)

    def _end_pretraining(self, part: _Part, label: str) -> None:
        if part.bar is None:  # a control without a pretraining has no steps
            return
        self.shown.line(f"pretrained {label}: {part.bar.detail}, {self._seconds(part)}")
        if part.bar.done == part.bar.total:  # else an earlier state of the training
            self.shown.remove(part.bar)
            part.bar = None

    def _end_runs(self, part: _Part, keys: list[str]) -> None:
        part.open_runs -= set(keys)
        if not part.open_runs:
            count = len(part.job.runs) - part.failed
            failed = f" ({part.failed} failed)" if part.failed else ""
            self.shown.line(
                f"finished {part.job.label}: {count} runs{failed}, {self._seconds(part)}; "
                f"{self.runs}"
            )

    def _seconds(self, part: _Part) -> str:
        return f"{self.clock() - (part.began or 0.0):.0f} s"
