"""Keys of a profile: their checks, the options of sbatch, and what `retry` asks for."""

from pathlib import Path

import pytest
from small_plans import keys_of, make_plan

from sarbench.bench.identity import KINDS
from sarbench.bench.plan.entry import Cause
from sarbench.bench.slurm import commands, ledger, node_check, submit
from sarbench.bench.slurm.commands import Partition, Site
from sarbench.bench.slurm.job_arrays import Limits, first_jobs, make_arrays, with_asked
from sarbench.bench.slurm.job_states import Assignment, JobStates
from sarbench.bench.slurm.ledger import Array, Asked, Element
from sarbench.bench.slurm.more_resources import more_resources
from sarbench.bench.slurm.profile import Allocation, Profile, ProfileError, parse_profile
from sarbench.bench.slurm.sbatch_options import gpus_in_gres
from sarbench.bench.store.attempts import attempt_of, make_attempt
from sarbench.bench.store.records import Store

SITE = Site(1000, {"gpu": Partition("gpu", 2880.0, 62.5)}, "gpu", accounting=False)
LIMITS = Limits(1000, {"pretrain": 8, "evaluate": 8}, 1e9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partition": []}, "partition: give the name of a partition or a list of names, got []"),
        ({"partition": 3}, "partition: give the name of a partition or a list of names, got 3"),
        ({"gpu": "a100:2"}, "gpu must be the name of a type of GPU"),
        ({"launcher": "run 'it"}, "launcher: a shell cannot read it (No closing quotation)"),
        ({"launcher": " "}, "launcher: give a command in one line"),
        ({"python": ""}, "python must be text that is not empty, got ''"),
        ({"requeue": "no"}, "requeue must be true or false, got 'no'"),
        ({"max_submitted": 0}, "max_submitted must be 1 or more, got 0"),
        ({"retry_factor": 1.0}, "retry_factor must be more than 1, got 1.0"),
        ({"sbatch": "--qos=x"}, "sbatch: give a table of options of sbatch"),
        ({"sbatch": {"time": 3}}, "time is set by sarbench; remove it and use the key time_min"),
        ({"sbatch": {"mem_per_cpu": 3}}, "remove it and use the key memory_gb of the profile"),
        ({"sbatch": {"--no-requeue": True}}, "remove it and use the key requeue"),
        ({"sbatch": {"output": "x"}}, "output is set by sarbench (`logs` finds the logs"),
        ({"sbatch": {"A": "me"}}, "'A' is not the long name of an option of sbatch"),
        ({"sbatch": {"mail-type": []}}, "mail-type must be a text in one line, a number, true"),
        ({"pretrain": {"sbatch": {"array": 1}}}, "pretrain.sbatch: array is set by sarbench"),
        ({"sbatch": {"gres": "gpu:2"}}, "pretrain: sbatch.gres asks for 2 GPUs per node, but gpus"),
        (
            {"gpus": 4, "sbatch": {"gres": "gpu:a100:4"}},
            "evaluate: sbatch.gres asks for 4 GPUs per node, but gpus is 1 (a job of runs has one",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(values, message):
    with pytest.raises(ProfileError) as caught:
        parse_profile(values, "site.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("site.toml: ")


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("gpu", 1), ("gpu:2", 2), ("gpu:a100", 1), ("gpu:a100:2", 2), ("gpu:a100:1,gpu:v100:2", 3),
        ("scratch:10", None), ("gpu:a100:2(S:0-1)", 2), ("gres:gpu:4", 4), ("", None),
        ("scratch:10,gpu:3", 3), ("shard:1", None),
    ],
)  # fmt: skip
def test_the_gpus_of_gres_are_counted(gres, count):
    assert gpus_in_gres({"gres": gres}) == count


def test_every_key_is_described():
    fields = {**Allocation.model_fields, **Profile.model_fields}
    assert [n for n, one in fields.items() if n not in KINDS and not one.description] == []


def test_a_profile_of_the_ledger_is_read_again():
    given = {
        "partition": ["a", "b"], "sbatch": {"mail_type": ["END", "FAIL"], "hold": False},
        "requeue": False, "launcher": "env A=1",
    }  # fmt: skip
    profile = parse_profile(given, "p")
    assert parse_profile(profile.model_dump(exclude_none=True), "ledger") == profile
    assert profile.allocation("pretrain").partition == "a,b"


def test_the_jobs_that_do_not_fit_are_the_last_ones():
    plan = make_plan(runs_each=2)
    every = make_arrays(plan, keys_of(plan), set(), LIMITS)
    assert [len(array.jobs) for array in every] == [2, 1, 1, 1]
    assert first_jobs(every, None) == every
    assert [array.stage for array in first_jobs(every, 3)] == ["pretrain", "evaluate"]
    assert [len(array.jobs) for array in first_jobs(every, 1)] == [1]
    assert first_jobs(every, -2) == []


def test_a_user_may_have_so_many_jobs_in_the_queue(monkeypatch):
    asked = []

    def command(*words, **_):
        asked.append(words)
        return "7_0\n7_1\n8\n"

    monkeypatch.setattr(commands, "command", command)
    monkeypatch.setattr(submit, "count_submitted", commands.count_submitted)
    assert submit._room(LIMITS) is None
    assert not asked
    limits = Limits(1000, LIMITS.throttle, 1e9, max_submitted=5)
    assert submit._room(limits) == 2
    assert "--array" in asked[0]


def failed_plan(tmp_path, profile, **attempts):
    """Return a plan of two trained methods with failures, and its jobs in the ledger."""
    plan = make_plan(runs_each=1, trained=2, untrained=0)
    states = JobStates(Store(tmp_path))
    made = ledger.new_submission("g", "code", profile)
    for entry in (*plan.pretrain, *plan.runs):
        attempt = attempts.get(
            entry.planned.pretraining.method if entry in plan.runs else entry.planned.method
        )
        if entry in plan.runs:
            entry.set("failed", Cause.PRETRAINING_FAILED, "", "out_of_memory")
            continue
        entry.set("failed", Cause.ERROR, "", attempt[0])
        entry.attempt = attempt[1]
        element = Element(label="M", pretraining=str(entry.key), runs=[])
        array = Array(
            name="000-pretrain", stage="pretrain", after=None, job_id="7", elements=[element],
            asked=attempt[2],
        )  # fmt: skip
        made.arrays.append(array)
        states.assigned[str(entry.key)] = Assignment(made, array, 0)
    return plan, states


KILLED = make_attempt("out_of_memory", "SLURM killed a process that ran out of memory")
LATE = make_attempt("time_out", "the job was started 21 times")


def test_retry_asks_for_more_of_what_ran_out(tmp_path):
    given = {"partition": "gpu", "memory_gb": 16, "time_min": 600}
    plan, states = failed_plan(
        tmp_path, given, m0=("out_of_memory", KILLED, Asked()), m1=("time_out", LATE, Asked())
    )
    asked, said = more_resources(plan, states, keys_of(plan), parse_profile(given, "p"), SITE)
    first, second = (str(entry.key) for entry in plan.pretrain)
    assert asked == {first: Asked(memory_gb=24.0), second: Asked(time_min=900)}
    assert said == [
        "pretrain: memory_gb = 24, because 1 pretraining ran out of memory with 16 "
        "(retry_factor = 1.5; at most 62.5: partition gpu)",
        "pretrain: time_min = 900, because 1 pretraining ran out of time with 600 "
        "(retry_factor = 1.5; at most 2880: partition gpu)",
    ]
    arrays = with_asked(make_arrays(plan, keys_of(plan), set(), LIMITS), asked)
    assert [(one.stage, one.asked) for one in arrays] == [
        ("pretrain", Asked(memory_gb=24.0)), ("pretrain", Asked(time_min=900)),
        ("evaluate", Asked()), ("evaluate", Asked()),
    ]  # fmt: skip
    allocation = parse_profile(given, "p").allocation("pretrain")
    assert arrays[0].asked.of(allocation).memory == "24576MB"
    assert arrays[1].asked.of(allocation).time_min == 900


def test_retry_starts_from_what_the_last_job_had_and_stops_at_a_limit(tmp_path):
    given = {"partition": "gpu", "memory_gb": 16}
    had = Asked(memory_gb=50.0)
    plan, states = failed_plan(
        tmp_path, given, m0=("out_of_memory", KILLED, had), m1=("time_out", LATE, Asked())
    )
    wanted = {str(plan.pretrain[0].key)}
    (asked,), (line,) = more_resources(plan, states, wanted, parse_profile(given, "p"), SITE)
    del asked
    assert "memory_gb = 62.5, because 1 pretraining ran out of memory with 50" in line
    profile = parse_profile({**given, "max_memory_gb": 40.0}, "p")
    asked, (line,) = more_resources(plan, states, wanted, profile, SITE)
    assert list(asked.values()) == [Asked(memory_gb=50.0)]
    assert "memory_gb stays 50" in line
    assert "(max_memory_gb)" in line
    profile = parse_profile({**given, "memory_gb": 128}, "p")  # a person has raised it
    assert more_resources(plan, states, wanted, profile, SITE) == ({}, [])


def test_memory_of_a_gpu_that_ran_out_is_not_memory_of_the_node(tmp_path):
    class OutOfMemoryError(RuntimeError):  # as torch names it
        pass

    attempt = attempt_of(OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    plan, states = failed_plan(
        tmp_path, {}, m0=("out_of_memory", attempt, Asked()), m1=("exception", LATE, Asked())
    )
    asked, (line,) = more_resources(plan, states, keys_of(plan), parse_profile({}, "p"), SITE)
    assert asked == {}
    assert line.startswith("1 ran out of the memory of the GPU, which memory_gb does not change")


def test_sbatch_judges_a_job_of_each_stage_and_nothing_is_submitted(tmp_path, monkeypatch):
    scripts = []

    def command(*words, **_):
        assert words[:2] == ("sbatch", "--test-only")
        scripts.append(Path(words[2]).read_text())
        if "--gpus-per-node" in scripts[-1]:
            raise commands.SlurmError("sbatch failed: allocation failure: not here")

    monkeypatch.setattr(node_check, "command", command)
    profile = parse_profile({"gpu": "a100", "evaluate": {"gpus": 0}}, "p")
    found = list(node_check.refusals(profile, Store(tmp_path)))
    assert found == [("pretrain", "allocation failure: not here")]
    assert "#SBATCH --gpus-per-node=a100:1" in scripts[0]
    assert "gpus-per-node" not in scripts[1]
    assert list(tmp_path.iterdir()) == []
