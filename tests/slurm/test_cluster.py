"""Jobs on a real SLURM, which `make cluster` starts: submitted, killed, preempted, resumed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Sarbench
from real_cluster import GRID, NEEDS_SLURM, PROFILE, Cluster, continue_with, held, hurry, queued

pytestmark = NEEDS_SLURM


def encoders(runs: Path) -> dict[str, bytes]:
    return {
        path.parent.name: path.read_bytes() for path in runs.glob("pretrain/*/encoder.safetensors")
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, ready) -> Iterator[Callable[[], Path]]:
    """Run the grid on this machine, without SLURM and without interruption.

    The fixture is a function that waits for the end and returns the store.
    """
    folder = tmp_path_factory.mktemp("uninterrupted")
    sarbench = Sarbench(folder, GRID)
    shutil.copytree(ready, sarbench.runs)
    process = sarbench.start("run", sarbench.grid, "--threads", "1", "--workers", "1")

    def finish() -> Path:
        _, errors = process.communicate(timeout=1500)
        assert process.returncode == 0, errors
        return sarbench.runs

    yield finish
    process.terminate()
    process.communicate()


def test_after_kills_and_requeues_every_run_but_the_failing_one_has_the_same_bits(
    tmp_path, ready, uninterrupted
):
    cluster = Cluster(tmp_path, ready)
    planned = cluster.plan()
    mae, lomar, sar_jepa = (entry["key"] for entry in planned["pretrain"][:3])
    failing = next(e for e in planned["runs"] if (e["method"], e["shots"]) == ("lomar", "all"))
    (cluster.runs / "evaluate" / failing["key"] / "predictions.npz").mkdir(parents=True)

    # The submitting process is killed as soon as the first array is submitted.
    with held():
        submitter = cluster.start("submit", cluster.grid, "--profile", cluster.profile)
        end = time.monotonic() + 60
        while time.monotonic() < end and not list(cluster.runs.glob("ledger/*/000-pretrain/*.pkl")):
            time.sleep(0.01)
        submitter.send_signal(signal.SIGKILL)
        submitter.communicate()
        cluster.submit()
        jobs = cluster.jobs()
    (requeued, _), (timed_out, process) = cluster.freeze(jobs, mae, lomar)
    subprocess.run(["scontrol", "requeue", requeued], check=True)
    subprocess.run(["scancel", "--signal=USR2", timed_out], check=True)
    continue_with(process, signal.SIGUSR2)
    hurry([requeued, timed_out])
    ((killed, process),) = cluster.freeze(jobs, sar_jepa)
    os.kill(process, signal.SIGKILL)
    assert (
        "0 jobs in 0 arrays" in cluster.submit()
    )  # everything is queued: nothing is submitted twice

    last = cluster.wait()
    not_done = [e for e in last["runs"] if e["state"] != "done"]
    assert [e["key"] for e in not_done] == [failing["key"]]
    assert len(last["runs"]) == 50  # an untrained control of both kinds of encoder
    assert not_done[0]["failure"] == "exception"
    assert "IsADirectoryError" in not_done[0]["reason"]
    shown = cluster.call("status", cluster.grid, status=1).stdout
    assert "predictions.npz" in shown
    assert f"sarbench retry {cluster.grid}" in shown
    assert "received SIGUSR2" in cluster.log(timed_out)
    assert "SIGKILL" in cluster.log(killed)
    for job in (requeued, timed_out, killed):
        first, *later = cluster.first_steps(job)
        assert first == 1
        assert later, f"{job} was not interrupted"
        assert min(later) > 1, f"{job} started from the beginning"

    (cluster.runs / "evaluate" / failing["key"] / "predictions.npz").rmdir()
    assert "left out, failed" in cluster.submit()
    cluster.call("retry", cluster.grid, "--failed", "exception")
    assert {e["state"] for e in cluster.wait()["runs"]} == {"done"}
    expected = uninterrupted()
    assert encoders(cluster.runs) == encoders(expected)
    for path in expected.glob("evaluate/*/predictions.npz"):
        here = cluster.runs / "evaluate" / path.parent.name / "predictions.npz"
        assert here.read_bytes() == path.read_bytes()
    assert not list(cluster.runs.glob("*/*/.record*"))


def test_a_preempted_pretraining_saves_is_requeued_and_ends_with_the_same_bits(
    tmp_path, ready, uninterrupted
):
    cluster = Cluster(tmp_path, ready)
    key = cluster.plan()["pretrain"][0]["key"]
    with held():
        cluster.submit("-m", "mae", "-p", "knn", "-k", "5")
        jobs = cluster.jobs()
    ((job, process),) = cluster.freeze(jobs, key)
    urgent = subprocess.run(
        ["sbatch", "--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null",
         "--wrap=sleep 5"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    ).stdout.strip()  # fmt: skip
    continue_with(process, signal.SIGUSR2)
    last = cluster.wait()
    assert {e["state"] for e in last["runs"] if e["method"] == "mae"} >= {"done"}
    assert next(e["state"] for e in last["pretrain"] if e["key"] == key) == "done"
    assert urgent not in queued()
    # SIGUSR2, or SIGTERM if the controller sends no user signal.
    assert "the step is finished and saved" in cluster.log(job)
    first, *later = cluster.first_steps(job)
    assert first == 1 < min(later)
    assert encoders(cluster.runs)[key] == encoders(uninterrupted())[key]


def losses(runs: Path, key: str) -> list[float]:
    lines = (runs / "pretrain" / key / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines[1:]]  # the first is before the training


@pytest.mark.skipif(os.cpu_count() == 1, reason="two processes at once need two cores")
def test_two_processes_of_one_job_give_the_loss_curve_of_one(tmp_path, ready, uninterrupted):
    both = PROFILE.replace("[pretrain]", "[pretrain]\nprocesses = 2")
    cluster = Cluster(tmp_path, ready, profile=both)
    cluster.submit("-m", "mae", "-p", "knn", "-k", "5")
    cluster.wait()
    key = cluster.plan()["pretrain"][0]["key"]
    two, one = losses(cluster.runs, key), losses(uninterrupted(), key)
    assert len(two) == len(one) == 150
    assert all(abs(a - b) / b < 1e-4 for a, b in zip(two, one, strict=True))


def test_nothing_is_submitted_twice_by_two_processes_or_with_a_damaged_ledger(tmp_path, ready):
    cluster = Cluster(tmp_path, ready, profile=PROFILE.replace('"gpu"', '"parked"'))
    words = cluster.command(
        "submit", cluster.grid, "--profile", cluster.profile, "--runs", cluster.runs
    )
    both = [
        subprocess.Popen(
            words, env=cluster.environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("0 jobs in 0 arrays" in text for text in printed) == 1

    (path,) = cluster.runs.glob("ledger/[0-9]*.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    again = cluster.submit()
    assert "is damaged" in again
    assert "0 jobs in 0 arrays" in again
    path.write_text(whole)

    assert "7 jobs cancelled" in cluster.call("cancel", cluster.grid).stdout
    states = cluster.wait()
    assert {e["failure"] for e in states["pretrain"]} <= {"cancelled", None}
    assert "50 submitted" in cluster.submit()
    cluster.call("cancel", cluster.grid)


def test_a_wrong_profile_and_a_controller_that_does_not_answer_are_reported_and_lose_nothing(
    tmp_path, ready
):
    cluster = Cluster(tmp_path, ready, profile=PROFILE.replace('"gpu"', '"gup"'))
    assert "Did you mean 'gpu'" in cluster.submit(status=2)
    cluster.profile.write_text(PROFILE.replace("time_min = 30", "time_min = 99999"))
    assert "allows at most 10080 minutes" in cluster.submit(status=2)
    assert not cluster.runs.exists() or not list(cluster.runs.glob("ledger/[0-9]*"))

    cluster.profile.write_text(PROFILE.replace('"gpu"', '"parked"'))
    cluster.submit("-m", "random_init", "-p", "knn", "-k", "5")
    configuration = Path("/etc/slurm/slurm.conf").read_text()
    elsewhere = tmp_path / "slurm.conf"
    elsewhere.write_text(configuration + "SlurmctldPort=6999\nMessageTimeout=2\n")
    cluster.environment["SLURM_CONF"] = str(elsewhere)
    answer = subprocess.run(
        cluster.command("status", cluster.grid, "--runs", cluster.runs), capture_output=True,
        text=True, env=cluster.environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert "controller does not answer" in answer.stderr
    assert "3 queued" in answer.stdout
    del cluster.environment["SLURM_CONF"]
    assert "jobs cancelled" in cluster.call("cancel", cluster.grid).stdout


def test_the_trials_of_a_tuning_are_submitted_first_and_then_the_grid(tmp_path, ready):
    cluster = Cluster(tmp_path, ready)
    tune = '[tune]\nepochs = 1\nbase_lr = [4e-3, 1.6e-2]\ndataset = "synthetic"\n[evaluate]'
    short = GRID.replace("150", "4").replace(', "lomar", "sar_jepa"', "").replace("8\n", "64\n")
    cluster.grid.write_text(short.replace("[evaluate]", tune))
    said = cluster.submit()
    assert "run the same command again to submit the grid" in said
    assert {entry["cause"] for entry in cluster.wait()["runs"]} == {"not_run"}  # tuned
    shown = cluster.call("status", cluster.grid, "--tuning").stdout
    assert "4 done" in shown, shown
    cluster.submit()
    assert {entry["state"] for entry in cluster.wait()["runs"]} == {"done"}


LAUNCHER = '#!/bin/bash\necho "$*" >> "$0.log"\nshift 2\nexport PATH=/nowhere\nexec "$@"\n'


def test_a_job_in_a_container_without_slurm_is_requeued_and_the_rest_is_submitted_later(
    tmp_path, ready
):
    launcher = tmp_path / "launch"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    profile = f"""
launcher = "{launcher} exec image.sif"
max_submitted = 1
runs_per_gpu = 2
sbatch = {{export = "NONE"}}
{PROFILE}"""
    cluster = Cluster(tmp_path, ready, profile=profile)
    words = "-m", "mae", "-p", "knn", "-k", "5"
    key = cluster.plan()["pretrain"][0]["key"]
    with held():
        assert "1 jobs are left for later: max_submitted = 1" in cluster.submit(*words)
        jobs = cluster.jobs()
    ((job, process),) = cluster.freeze(jobs, key)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    continue_with(process, signal.SIGUSR2)
    hurry([job])
    cluster.wait()
    first, *later = cluster.first_steps(job)
    assert first == 1 < min(later)
    called = (tmp_path / "launch.log").read_text().splitlines()
    assert ["slurm.on_exit" in line for line in called] == [False, True, False]
    assert "1 jobs in 1 arrays" in cluster.submit(*words)
    last = cluster.wait()
    chosen = [
        e for e in last["runs"] if (e["method"], e["protocol"], e["shots"]) == ("mae", "knn", 5)
    ]
    assert [one["state"] for one in chosen] == ["done"] * 3  # two at once
