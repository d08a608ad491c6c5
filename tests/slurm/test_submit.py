"""Submission and status without a cluster: profiles, arrays, ledger, failures, snapshots."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from small_plans import keys_of, make_plan

from sarbench.bench.data.packed import DamagedPreparedError
from sarbench.bench.data.prepare import NotPreparedError
from sarbench.bench.data.unreadable_image import UnreadableImageError
from sarbench.bench.plan.entry import Cause, Entry
from sarbench.bench.plan.failure_class import CLASSES, classify
from sarbench.bench.plan.plan import Plan
from sarbench.bench.pretraining.step import NonFiniteLossError
from sarbench.bench.slurm import code_snapshot as snapshot
from sarbench.bench.slurm import commands as slurm
from sarbench.bench.slurm import ledger
from sarbench.bench.slurm.job_arrays import JobArray, Limits, make_arrays
from sarbench.bench.slurm.job_states import update_from_queue
from sarbench.bench.slurm.ledger import Array, Element
from sarbench.bench.slurm.profile import (
    Profile,
    ProfileError,
    check_site,
    parse_profile,
    read_profile,
)
from sarbench.bench.slurm.selection import select
from sarbench.bench.slurm.submit import Submitter
from sarbench.bench.store.attempts import attempt_of, record_failure
from sarbench.bench.store.records import Store
from sarbench.bench.store.weights import CheckpointMismatchError
from sarbench.results.record import Attempt

SITE = slurm.Site(
    max_array=1000,
    partitions={"gpu": slurm.Partition("gpu", 2880.0), "cpu": slurm.Partition("cpu", float("inf"))},
    default_partition="gpu",
    accounting=False,
)


def test_a_stage_overrides_the_profile_and_the_profile_the_defaults():
    profile = Profile.model_validate({
        "partition": "gpu", "cpus": 8, "gpus": 4, "pretrain": {"time_min": 600, "nodes": 2},
        "evaluate": {"partition": "cpu", "gpus": 0},
    })  # fmt: skip
    pretrain, evaluate = profile.allocation("pretrain"), profile.allocation("evaluate")
    assert (pretrain.partition, evaluate.partition) == ("gpu", "cpu")
    assert (pretrain.nodes, pretrain.gpus, pretrain.processes) == (2, 4, 4)
    assert (evaluate.nodes, evaluate.gpus, evaluate.processes) == (1, 0, 1)
    assert (pretrain.time_min, pretrain.cpus, pretrain.memory_gb) == (600, 8, 16)
    assert profile.resources("pretrain").device == "cuda:0"
    assert profile.resources("evaluate").device == "cpu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('partitions = "gpu"', "Did you mean 'partition'"),
        ("[pretrain]\ntime_mins = 3", "Did you mean 'time_min'"),
        ("gpus = -1", "gpus must be 0 or more, got -1"),
        ("threads = [", "is not a TOML file"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path, text, message):
    path = tmp_path / "profile.toml"
    path.write_text(text)
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partition": "gup"}, "Did you mean 'gpu'"),
        ({"partition": "gpu", "pretrain": {"time_min": 3000}}, "allows at most 2880 minutes"),
    ],
)
def test_a_profile_that_the_site_would_refuse_is_refused(values, message):
    check_site(parse_profile({"partition": "cpu"}, "p"), SITE)
    with pytest.raises(ProfileError, match=message):
        check_site(parse_profile(values, "p"), SITE)


def test_times_of_slurm_are_converted_to_minutes():
    found = [slurm.minutes(text) for text in ("7-00:00:00", "1:30:00", "05:30", "UNLIMITED")]
    assert found == [10080, 90, 5.5, float("inf")]


def limits(max_array: int = 1000, pack_s: float = 1e9) -> Limits:
    return Limits(max_array, {"pretrain": 8, "evaluate": 8}, pack_s)


def shape(arrays: list[JobArray]) -> list[tuple[str, int, int, bool]]:
    return [
        (a.stage, len(a.jobs), sum(len(j.runs) for w in a.jobs for j in w), a.after is not None)
        for a in arrays
    ]


def test_all_pretrainings_are_one_array_and_the_runs_of_each_are_another():
    plan = make_plan(runs_each=10)
    assert shape(make_arrays(plan, keys_of(plan), set(), limits())) == [
        ("pretrain", 2, 0, False), ("evaluate", 1, 10, False), ("evaluate", 1, 10, True),
        ("evaluate", 1, 10, True),
    ]  # fmt: skip


def test_packs_are_filled_by_estimated_time():
    plan = make_plan(runs_each=10, trained=0)
    # The estimate is 0.4 s for a linear run of a nano encoder, and 12 s for the start of a job.
    (array,) = make_arrays(plan, keys_of(plan), set(), limits(pack_s=12 + 3 * 0.4 + 0.1))
    assert [[len(job.runs) for job in work] for work in array.jobs] == [[3], [3], [3], [1]]


def test_runs_that_differ_only_in_their_condition_are_in_one_job():
    plan = make_plan(runs_each=4, trained=0)
    for entry in list(plan.runs):
        run = replace(entry.planned.identity, condition="shift:4")
        plan.runs.append(Entry(replace(entry.planned, identity=run, condition="shift:4"), "new"))
    # A head takes 0.4 s, so its two runs 0.2 s each.
    (array,) = make_arrays(plan, keys_of(plan), set(), limits(pack_s=12 + 0.4 + 0.1))
    assert [[(run.seed, run.condition) for run in job.runs] for (job,) in array.jobs] == [
        [(seed, None), (seed, "shift:4")] for seed in range(4)
    ]


def test_an_array_is_split_at_the_limit_of_the_site_and_its_parts_share_the_throttle():
    plan = make_plan(runs_each=25, trained=0)
    arrays = make_arrays(plan, keys_of(plan), set(), limits(max_array=10, pack_s=1.0))
    assert [len(array.jobs) for array in arrays] == [10, 10, 5]
    assert [array.throttle for array in arrays] == [2, 2, 2]
    handed = [run.key for array in arrays for (job,) in array.jobs for run in job.runs]
    assert sorted(handed) == sorted(str(entry.key) for entry in plan.runs)


def test_runs_depend_on_a_queued_pretraining_and_not_on_a_finished_one():
    plan = make_plan(runs_each=2, trained=2, untrained=0)
    plan.pretrain[1].state = "done"
    waiting = {str(plan.pretrain[0].key)}
    arrays = make_arrays(plan, {str(e.key) for e in plan.runs}, waiting, limits())
    assert shape(arrays) == [("evaluate", 1, 2, False), ("evaluate", 1, 2, True)]
    assert arrays[1].after == plan.pretrain[0].key


def test_one_job_does_the_runs_of_several_encoders_that_exist():
    plan = make_plan(runs_each=4, trained=4)
    for entry in plan.pretrain:
        entry.state = "done"
    # 5 encoders x 4 runs of 0.4 s, after the 12 s for the start of a job.
    arrays = make_arrays(plan, keys_of(plan), set(), limits(pack_s=12 + 2 * 4 * 0.4 + 0.1))
    assert [[len(job.runs) for job in work] for work in arrays[0].jobs] == [[4, 4], [4, 4], [4]]
    assert len(arrays) == 1
    element = ledger.Element.of(arrays[0].jobs[0])
    first, second = arrays[0].jobs[0]
    assert element.label == f"{first.label}, {second.label}"
    assert element.runs == [run.key for job in (first, second) for run in job.runs]


def test_a_control_is_a_job_of_its_own_only_if_its_runs_are_done():
    plan = make_plan(runs_each=2, trained=0)
    control = {str(plan.pretrain[0].key)}
    assert not make_arrays(plan, control, set(), limits())  # its runs are queued
    for entry in plan.runs:
        entry.state = "done"
    assert shape(make_arrays(plan, control, set(), limits())) == [("evaluate", 1, 0, False)]


def submission(plan: Plan, job_id: str | None = "7") -> ledger.Submission:
    made = ledger.new_submission("g", "code", {"partition": "gpu"})
    runs = [str(entry.key) for entry in plan.runs]
    elements = [Element(label="M", pretraining="p", runs=[key]) for key in runs]
    made.arrays.append(
        Array(name="000-evaluate", stage="evaluate", after=None, job_id=job_id, elements=elements)
    )
    return made


def attempt(failure: str, message: str = "") -> Attempt:
    return Attempt(
        failure=failure, message=message, traceback="", host="h", time="2026-01-01T00:00:00+00:00"
    )


def replace_commands(monkeypatch, **commands: str) -> list[str]:
    """Replace the outputs of SLURM's commands; return the list of calls."""
    called: list[str] = []

    def command(*words: str, **_: object) -> str:
        called.append(words[0])
        if words[0] not in commands:
            raise slurm.SlurmError(f"no {words[0]} here")
        return commands[words[0]]

    monkeypatch.setattr(slurm, "command", command)
    return called


def test_states_come_from_one_query_of_the_queue(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), make_plan(runs_each=3, trained=0)
    ledger.write(store, submission(plan))
    called = replace_commands(
        monkeypatch,
        squeue="7_0|RUNNING|None|node1|4:10|\n7_1|PENDING|Resources||0:00|\n"
        "7_2|NODE_FAIL|NodeDown|node2|1:00|\n",
    )
    states = update_from_queue(store, plan, pytest.fail)
    assert called == ["squeue"]
    assert [entry.state for entry in plan.runs] == ["running", "queued", "failed"]
    assert [entry.job for entry in plan.runs] == ["7_0", "7_1", "7_2"]
    assert "node1, 4:10" in plan.runs[0].reason
    assert plan.runs[2].failure_class == "node_failure"
    assert [states.live(entry.key) for entry in plan.runs] == [True, True, False]


def test_the_job_of_a_training_is_that_of_the_states_on_its_way(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), make_plan(runs_each=1, trained=2, untrained=0)
    whole, state = plan.pretrain
    made = ledger.new_submission("g", "code", {})
    element = Element(label="M", pretraining=str(whole.key), runs=[], earlier=[str(state.key)])
    made.arrays.append(
        Array(name="000-pretrain", stage="pretrain", after=None, job_id="7", elements=[element])
    )
    ledger.write(store, made)
    replace_commands(monkeypatch, squeue="7|RUNNING|None|node1|4:10|\n")
    states = update_from_queue(store, plan, pytest.fail)
    assert [entry.state for entry in plan.pretrain] == ["running", "running"]
    assert states.live(state.key)
    assert select(plan, states, lambda entry: True).waiting == {whole.key, state.key}


def test_a_job_that_left_the_queue_has_its_state_from_the_accounting_or_is_lost(
    tmp_path, monkeypatch
):
    store = Store(tmp_path)
    plan = make_plan(runs_each=2, trained=0)
    ledger.write(store, submission(plan))
    replace_commands(
        monkeypatch, squeue="", sacct="7_0|TIMEOUT|n1|1:00\n7_1|CANCELLED by 0|n1|1:00\n"
    )
    update_from_queue(store, plan, pytest.fail)
    assert [entry.failure_class for entry in plan.runs] == ["time_out", "cancelled"]
    plan = make_plan(runs_each=2, trained=0)
    replace_commands(monkeypatch, squeue="")
    update_from_queue(store, plan, pytest.fail)
    assert [entry.failure_class for entry in plan.runs] == ["lost", "lost"]
    assert "no accounting" in plan.runs[0].reason


def test_while_the_controller_is_down_jobs_count_as_queued(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), make_plan(runs_each=1, trained=0)
    plan.runs[0].set("failed", Cause.ERROR, "in an earlier job", "time_out")
    ledger.write(store, submission(plan))

    def down(*words: str, **_: object) -> str:
        raise slurm.ControllerDownError("SLURM's controller does not answer (timed out)")

    monkeypatch.setattr(slurm, "command", down)
    warnings: list[str] = []
    states = update_from_queue(store, plan, warnings.append)
    assert (plan.runs[0].state, plan.runs[0].failure_class) == ("queued", None)
    assert states.live(plan.runs[0].key)
    assert "does not answer" in warnings[0]


def test_an_array_whose_id_is_not_in_the_ledger_is_found_by_its_comment(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), make_plan(runs_each=2, trained=0)
    made = submission(plan, job_id=None)
    ledger.write(store, made)
    comment = f"sarbench {made.id}/000-evaluate: 2 runs of M"
    replace_commands(
        monkeypatch,
        squeue=f"9_0|PENDING|Priority||0:00|{comment}\n9_1|PENDING|Priority||0:00|{comment}\n",
    )
    place = ledger.folder(store) / made.id / "000-evaluate"
    place.mkdir(parents=True)
    (place / "9_0_submitted.pkl").touch()  # killed before it wrote the task of 9_1
    states = update_from_queue(store, plan, pytest.fail)
    assert [entry.job for entry in plan.runs] == ["9_0", None]
    assert [entry.state for entry in plan.runs] == ["queued", "new"]
    states.write_recovered()
    (noted,) = ledger.read(store, pytest.fail)
    assert noted.arrays[0].job_id == "9"


def test_an_entry_that_failed_in_an_earlier_job_is_queued_if_its_new_job_is(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), make_plan(runs_each=1, trained=0)
    entry = plan.runs[0]
    entry.state, entry.attempt, entry.failure_class = "failed", attempt("ValueError"), "exception"
    ledger.write(store, submission(plan))
    replace_commands(monkeypatch, squeue="7|PENDING|Priority||0:00|\n")
    update_from_queue(store, plan, pytest.fail)
    assert (entry.state, entry.failure_class) == ("queued", None)


def test_a_truncated_file_of_the_ledger_is_reported_and_rebuilt(tmp_path):
    store, plan = Store(tmp_path), make_plan(runs_each=2, trained=0)
    made = submission(plan)
    ledger.write(store, made)
    from submitit.core.utils import DelayedSubmission

    from sarbench.bench.identity import Job, Resources
    from sarbench.bench.slurm.job_main import Task, run_task

    place = ledger.folder(store) / made.id / "000-evaluate"
    place.mkdir(parents=True)
    for index, entry in enumerate(plan.runs):
        job = Job("M", plan.pretrain[0].planned.identity, [], [entry.planned.identity])
        task = Task("evaluate", (job,), str(tmp_path), Resources(), "code", 1, 30, 0.0)
        DelayedSubmission(run_task, task).dump(place / f"7_{index}_submitted.pkl")
    path = ledger.folder(store) / f"{made.id}.json"
    path.write_text(path.read_text()[:100])
    warnings: list[str] = []
    (read,) = ledger.read(store, warnings.append)
    assert "damaged" in warnings[0]
    found = {key: array.job(index) for key, array, index in read.places()}
    assert found == {str(e.key): f"7_{i}" for i, e in enumerate(plan.runs)}


@pytest.mark.parametrize(
    ("failure", "message", "expected"),
    [
        ("OutOfMemoryError", "CUDA out of memory", "out_of_memory"),
        ("RuntimeError", "DefaultCPUAllocator: can't allocate memory", "out_of_memory"),
        ("OSError", "[Errno 28] No space left on device", "disk"),
        ("NonFiniteLossError", "loss nan", "exception"),
        ("time_out", "", "time_out"),
    ],
)
def test_failures_have_classes(failure, message, expected):
    assert expected in CLASSES
    assert classify(attempt(failure, message)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DamagedPreparedError("torn"), "data"),
        (UnreadableImageError("2 > 1"), "data"),
        (CheckpointMismatchError("other digest"), "data"),
        (NotPreparedError("mstar_soc"), "data"),
        (snapshot.WrongCodeError("other code"), "code"),
        (MemoryError(), "out_of_memory"),
        (NonFiniteLossError("loss nan"), "exception"),
    ],
)
def test_an_exception_is_stored_with_the_class_of_its_failure(tmp_path, error, expected):
    store = Store(tmp_path)
    assert record_failure(store, "evaluate", ["key"], attempt_of(error)) == ["key"]
    stored = store.last_attempt("evaluate", "key")
    assert stored is not None
    assert stored.failure == type(error).__name__
    assert classify(stored) == expected


def test_a_job_runs_the_snapshot_in_a_folder_with_another_clone(tmp_path):
    code, digest = snapshot.take_snapshot(tmp_path / "ledger")
    assert snapshot.take_snapshot(tmp_path / "ledger") == (code, digest)
    clone = tmp_path / "here" / "sarbench" / "bench"
    clone.mkdir(parents=True)
    (clone / "__init__.py").write_text("raise ImportError('the wrong clone')")
    script = (
        "from sarbench.bench.slurm import code_snapshot as snapshot; "
        f"snapshot.check_code('{digest}'); print(snapshot.__file__); import sarbench; "
        "from importlib.metadata import distribution; print(sarbench.__file__); "
        "print(distribution('sarbench').locate_file(''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path / "here",
        env=os.environ | {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(code)) for line in done.stdout.splitlines()), done.stdout


def test_a_job_refuses_other_code_than_was_submitted():
    with pytest.raises(snapshot.WrongCodeError, match="0123 was submitted"):
        snapshot.check_code("0123")


def test_the_batch_script_has_every_option_of_the_profile(tmp_path):
    profile = Profile.model_validate({
        "partition": "gpu", "account": "sar", "qos": "long", "constraint": "a100",
        "exclude": ["n1", "n2"], "gpus": 2, "nodes": 2, "cpus": 6, "memory_gb": 48.5,
        "setup": ["module load cuda"], "signal_s": 90, "pretrain": {"time_min": 77},
    })  # fmt: skip
    plan = make_plan(runs_each=1, trained=3, untrained=0)
    arrays = make_arrays(plan, keys_of(plan), set(), limits())
    text = Submitter(plan, Store(tmp_path), profile, dry=True).text(0, arrays[0], None)
    for line in (
        "--partition=gpu", "--account=sar", "--qos=long", "--constraint=a100", "--exclude=n1,n2",
        "--gpus-per-node=2", "--ntasks-per-node=2", "--nodes=2", "--cpus-per-task=6",
        "--mem=49664MB", "--time=77", "--signal=USR2@90", "--array=0-2%3", "--requeue",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text, line
    assert text.index("module load cuda") < text.index("export PYTHONPATH=") < text.index("srun")
    packs = Submitter(plan, Store(tmp_path), profile, dry=True).text(1, arrays[1], "5_0")
    assert "#SBATCH --dependency=afterok:5_0\n" in packs
    assert "#SBATCH --kill-on-invalid-dep=yes\n" in packs
    assert not list(tmp_path.iterdir())


def test_a_job_gets_the_folders_of_methods(tmp_path, monkeypatch):
    monkeypatch.setenv("SARBENCH_METHODS", f"{tmp_path}/my methods")
    plan = make_plan(runs_each=1, trained=1, untrained=0)
    (array, *_) = make_arrays(plan, keys_of(plan), set(), limits())
    text = Submitter(plan, Store(tmp_path), Profile(), dry=True).text(0, array, None)
    assert "/methods_0\n" in text.split("export SARBENCH_METHODS=")[1]
