"""Progress in a log: a line for each finished part, and one a minute if nothing else is printed."""

import threading

from sarbench.bench.cli import job_progress
from sarbench.bench.cli.job_progress import JobProgress
from sarbench.bench.cli.progress import Bar, _Lines, progress
from sarbench.bench.execution.job import Event
from sarbench.bench.identity import Job
from sarbench.bench.store.progress import Progress


class Log:
    """The lines of a log and a clock that a test moves."""

    def __init__(self) -> None:
        self.time, self.lines = 0.0, list[str]()
        self.shown = _Lines(self.lines.append, lambda: self.time)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.time += 1.0
            self.shown.summarise_if_silent()


class Key:
    """A pretraining or a run, of which only the key is read."""

    def __init__(self, key: str) -> None:
        self.key = key


def jobs() -> list[Job]:
    job = object.__new__(Job)
    object.__setattr__(job, "label", "MAE")
    object.__setattr__(job, "pretraining", Key("p"))
    object.__setattr__(job, "runs", [Key("a"), Key("b")])
    return [job]


def events(log: Log, *parts: tuple[float, Event]):
    for seconds, event in parts:
        log.wait(seconds)
        yield event


def follow(log: Log, *parts: tuple[float, Event]) -> JobProgress:
    watched = JobProgress(log.shown, Bar("tiny", 2, "runs"), clock=lambda: log.time)
    watched.follow(jobs(), events(log, *parts))
    return watched


def test_a_log_gets_a_line_a_minute_with_runs_and_steps():
    log = Log()
    step = Event("progress", "pretrain", ["p"], "MAE", Progress(340, 2000, 64, 0.4512, 812.3))
    follow(
        log,
        (0, Event("started", "pretrain", ["p"], "MAE")),
        (10, step),
        (130, Event("done", "pretrain", ["p"], "MAE")),
    )
    assert log.lines == [
        "after 1 min: tiny: 0 of 2 runs; MAE: 340 of 2000 steps, 812 images/s, loss 0.4512",
        "after 2 min: tiny: 0 of 2 runs; MAE: 340 of 2000 steps, 812 images/s, loss 0.4512",
        "pretrained MAE: 812 images/s, loss 0.4512, 140 s",
    ]


def test_a_finished_job_is_a_line_and_postpones_the_summary():
    log = Log()
    follow(
        log,
        (0, Event("started", "evaluate", ["a", "b"], "MAE")),
        (50, Event("done", "evaluate", ["a"], "MAE")),
        (5, Event("done", "evaluate", ["b"], "MAE")),
    )
    assert log.lines == ["finished MAE: 2 runs, 55 s; tiny: 2 of 2 runs"]
    log.wait(59)
    assert len(log.lines) == 1
    log.wait(1)
    assert log.lines[1:] == ["after 2 min: tiny: 2 of 2 runs"]


def test_failed_runs_end_a_job_and_failures_name_it(monkeypatch):
    log, complaints = Log(), []
    monkeypatch.setattr(job_progress, "print_error", complaints.append)
    watched = follow(
        log,
        (0, Event("done", "evaluate", ["a"], "MAE")),
        (2, Event("failed", "evaluate", ["b"], "ValueError: broken")),
        (0, Event("failed", "evaluate", [], "ValueError: stored meanwhile")),
        (0, Event("elsewhere", "pretrain", ["p"], "trained by another process")),
    )
    assert complaints == ["MAE: ValueError: broken", "ValueError: stored meanwhile"]
    assert log.lines == ["finished MAE: 1 runs (1 failed), 2 s; tiny: 1 of 2 runs"]
    assert watched.elsewhere == {"p"}


def test_a_task_that_has_ended_is_not_summarised():
    log = Log()
    log.wait(120)
    assert log.lines == []  # without a task there is nothing to say
    packing, checking = Bar("packing", 800, "chips", 40), Bar("checking", None, "records")
    for task in (packing, checking):
        log.shown.add(task)
    log.shown.remove(packing)
    log.wait(1)
    assert log.lines == ["after 2 min: checking"]


def test_off_a_terminal_progress_is_lines():
    assert isinstance(progress(), _Lines)


def test_the_watching_thread_ends_with_the_command():
    before = set(threading.enumerate())
    with progress():
        (watching,) = set(threading.enumerate()) - before
    watching.join(5)
    assert not watching.is_alive()
