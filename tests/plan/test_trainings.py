"""States of one training are one job, one estimate and one running process."""

from dataclasses import replace

import pytest
from small_grids import METHODS, TEXT, grid_of, make_summary, spread

from sarbench.bench.plan.cost_estimate import Costs
from sarbench.bench.plan.entry import Cause, Entry
from sarbench.bench.plan.plan import Plan
from sarbench.bench.plan.trainings import set_running
from sarbench.bench.slurm.job_arrays import Limits, make_arrays
from sarbench.bench.store.progress import Progress, write_progress
from sarbench.bench.store.records import Store

AT = TEXT.replace("seeds = 3", "seeds = 3\nat = [0.1, 1.0, 0.3]").replace(
    "[pretrain]", '[pretrain]\nrecipe = "quick"\nbatch = 4\nseeds = 2'
)


@pytest.fixture
def plan(tmp_path) -> Plan:
    """Return a plan of two trainings of 50 steps with three states each."""
    grid = grid_of(tmp_path, AT)
    starts, runs = spread(grid, make_summary())
    pretrain, entries = [[Entry(one, "new") for one in part] for part in (starts, runs)]
    return Plan(grid, METHODS, pretrain, entries, {})


def entries(plan: Plan, seed: int = 0) -> dict[float, Entry]:
    return {
        entry.planned.axes["at"]: entry
        for entry in plan.pretrain
        if entry.planned.axes and entry.planned.seed == seed
    }


def test_the_states_of_a_training_are_one_job_with_all_their_runs(plan):
    first, second, *controls = plan.jobs()
    by_at = entries(plan)
    assert [job.label for job in (first, second)] == ["MAE", "MAE, seed 1"]
    assert first.pretraining.at is None
    assert [one.at for one in first.earlier] == [0.3, 0.1]
    assert {run.start for run in first.runs} == {entry.key for entry in by_at.values()}
    assert sum(len(job.runs) for job in plan.jobs()) == len(plan.runs)
    assert not any(job.earlier for job in controls)


def test_a_state_that_is_missing_alone_is_a_job_alone(plan):
    missing = entries(plan)[0.3]
    for entry in (*plan.pretrain, *plan.runs):
        entry.state = "done"
    missing.state = "new"
    (job,) = plan.jobs()
    assert (job.pretraining.key, job.earlier, job.runs) == (missing.key, (), [])
    assert job.label == "MAE, at 0.3"


def test_states_that_a_running_training_will_write_are_running_too(plan, tmp_path):
    store, by_at = Store(tmp_path / "runs"), entries(plan)
    by_at[1.0].state = "running"
    by_at[0.1].set("new", Cause.NOT_RUN)
    folder = store.folder("pretrain", by_at[1.0].key)
    folder.mkdir(parents=True)
    write_progress(folder, Progress(10, 50, 4))  # after the 5 steps of 0.1
    set_running(plan.pretrain, store)
    assert {at: entry.state for at, entry in by_at.items()} == {
        0.1: "new", 0.3: "running", 1.0: "running"
    }  # fmt: skip
    assert by_at[0.3].reason == "on the way of MAE, at 1.0"
    assert [job.pretraining.seed for job in plan.jobs() if job.pretraining.recipe] == [1]


def test_a_training_is_estimated_once(plan):
    summary = plan.pretrain[0].planned.identity
    costs = Costs(plan)
    whole = costs.pretraining_s(entries(plan)[1.0].planned)[0]
    assert costs.missing(plan).pretrain_h == pytest.approx(2 * whole / 3600, rel=1e-6)
    for seed in (0, 1):
        entries(plan, seed)[1.0].state = "done"
    part = costs.pretraining_s(entries(plan)[0.3].planned)[0]
    assert part == pytest.approx(0.3 * whole)
    assert costs.missing(plan).pretrain_h == pytest.approx(2 * part / 3600, rel=1e-6)
    assert summary is not None


def test_a_training_is_one_job_of_an_array_and_the_runs_of_each_state_follow_it(plan):
    wanted = {str(entry.key) for entry in (*plan.pretrain, *plan.runs)}
    arrays = make_arrays(plan, wanted, set(), Limits(1000, {"pretrain": 8, "evaluate": 8}, 600))
    pretrain, _, *dependent = arrays
    trainings = [job for (job,) in pretrain.jobs]
    assert [[one.at for one in job.pretrainings] for job in trainings] == [[None, 0.3, 0.1]] * 2
    trained = {one.key for job in trainings for one in job.pretrainings}
    assert {array.after for array in dependent} == trained
    assert all(
        run.start == array.after for array in dependent for (job,) in array.jobs for run in job.runs
    )

    entries(plan)[1.0].state = "done"
    wanted = {str(entries(plan)[at].key) for at in (0.1, 0.3)}
    (array,) = make_arrays(plan, wanted, set(), Limits(1000, {"pretrain": 8, "evaluate": 8}, 600))
    ((job,),) = array.jobs
    assert [one.at for one in job.pretrainings] == [0.3, 0.1]


def test_a_part_of_a_job_has_its_own_runs(plan):
    job, *_ = plan.jobs()
    _, middle, first = job.pretrainings
    part = job.only({middle.key, first.key})
    assert part == replace(
        job, pretraining=middle, earlier=(first,),
        runs=[run for run in job.runs if run.start != job.pretraining.key],
    )  # fmt: skip
    assert job.only([]) is None
