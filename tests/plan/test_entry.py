"""The state of each planned pretraining and run, with its cause as a value for programs."""

import pytest
import stores
from commands import TINY

from sarbench.bench.grid.schema import read_grid
from sarbench.bench.plan.entry import Cause, Entry
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.store.records import Store
from sarbench.results.record import digest_json


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(TINY)
    return path


def first(path) -> tuple[Entry, Entry]:
    """Return the first pretraining of a grid and its first run."""
    plan, _ = stores.planned(path, path.parent / "runs")
    return plan.pretrain[0], plan.runs[0]


def test_without_prepared_data_nothing_has_a_key(path):
    plan = make_plan(read_grid(path), Store(path.parent / "runs"), path.parent)
    assert {entry.cause for entry in plan.runs} == {Cause.NOT_PREPARED}
    assert plan.pretrain[0].reason == "not prepared"


def test_a_failed_pretraining_is_the_cause_of_its_runs(path):
    start, run = first(path)
    assert (start.cause, run.cause) == (Cause.NOT_RUN, Cause.NOT_RUN)
    store = Store(path.parent / "runs")
    store.write_attempt("pretrain", str(start.key), stores.FAILED)
    start, run = first(path)
    assert (start.state, start.cause, start.failure_class) == ("failed", Cause.ERROR, "exception")
    assert (run.state, run.cause, run.failure_class) == ("failed", Cause.PRETRAINING_FAILED, None)
    assert run.reason == f"its pretraining failed: {start.reason}"


def test_a_record_that_cannot_be_read_is_damaged(path):
    start, _ = first(path)
    store = Store(path.parent / "runs")
    record = store.folder("pretrain", str(start.key)) / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    assert first(path)[0].cause == Cause.DAMAGED


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"method_version": 99}, Cause.VERSION),
        ({"pool": [{"name": "synthetic", "digest": "other", "count": 9}]}, Cause.DATA),
    ],
)
def test_a_stored_result_of_another_version_or_pool_makes_an_entry_stale(path, change, cause):
    start, _ = first(path)
    store = Store(path.parent / "runs")
    other = start.planned.identity.to_json() | change
    record = stores.pretrain_record(start.planned)
    store.write(
        "pretrain", record.model_copy(update={"key": digest_json(other), "identity": other})
    )
    stale, run = first(path)
    assert (stale.state, stale.cause) == ("stale", cause)
    assert (run.state, run.cause) == ("new", Cause.NOT_RUN)
    assert stale.reason == f"stored with other {next(iter(change))}"


def test_what_is_done_or_running_has_no_cause(path):
    start, _ = first(path)
    store = Store(path.parent / "runs")
    stores.write_start(store, start.planned)
    done, _ = first(path)
    assert (done.state, done.cause, done.reason) == ("done", None, "2026-01-02")


def test_braces_in_a_message_stay_as_they_are(path):
    start, _ = first(path)
    assert Entry(start.planned, "failed", Cause.DAMAGED, "{0} {x}").reason.endswith("{0} {x}")
