"""Drills on a real SLURM: methods of a folder, the live page, memory, shared GPUs, suggestions."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from real_cluster import GRID, NEEDS_SLURM, PROFILE, Cluster, held

pytestmark = [*NEEDS_SLURM, pytest.mark.slow]  # minutes each: make test-slurm SLURM=slurm
SHORT = GRID.replace('"lomar", "sar_jepa"', "").replace("epochs = 150", "epochs = 4")
BOOM = 'raise RuntimeError("the sonar hit an iceberg")'


def configured(key: str) -> str:
    """Return a value of the controller's configuration; empty without a controller."""
    if shutil.which("scontrol") is None:
        return ""
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    found = re.search(rf"^{key}\s*= (.*)$", shown.stdout, re.MULTILINE)
    return found[1].strip() if found else ""


@contextmanager
def live_page(cluster: Cluster, *words: str | Path):
    """Serve the page of a grid; yield a function that waits for a state."""
    process = cluster.start("status", cluster.grid, "--page", "--port", "0", *words)
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]

    def wait_for(wanted, seconds: float = 400) -> dict:
        end, state = time.monotonic() + seconds, {}
        while time.monotonic() < end:
            with urlopen(f"{address}state", timeout=120) as answer:
                state = json.load(answer)
            assert not state["problem"], state["problem"]
            if wanted(state):
                return state
        raise TimeoutError(json.dumps(state, indent=1))

    try:
        yield wait_for
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 0


def test_methods_of_a_folder_run_as_submitted_while_the_live_page_shows_them(tmp_path, ready):
    cluster = Cluster(tmp_path, ready)
    mine = tmp_path / "mine"
    mine.mkdir()
    cluster.call("methods", "new", "my_mae", "--folder", mine)
    written = (mine / "my_mae.py").read_text()
    assert "        tokens = self" in written
    counted = (
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        f"        if self.calls > 150:\n            {BOOM}\n        tokens = self"
    )
    broken = written.replace("class MyMae", "class MyBoom").replace("My mae", "My boom")
    (mine / "my_boom.py").write_text(broken.replace("        tokens = self", counted, 1))
    methods = GRID.replace('"mae", "lomar", "sar_jepa"', '"my_mae", "my_boom"')
    methods = methods.replace("epochs = 150", "epochs = 1000")  # longer than PROGRESS_S
    cluster.grid.write_text(methods.replace('controls = ["random_init"]\n', ""))
    cluster.environment["SARBENCH_METHODS"] = cluster.given["SARBENCH_METHODS"] = str(mine)
    keys = {e["method"]: e["key"] for e in cluster.plan()["pretrain"]}
    with held():
        cluster.submit()
        jobs = cluster.jobs()
    progress = cluster.runs / "pretrain" / keys["my_mae"] / "progress.json"
    end, step = time.monotonic() + 300, 0
    while step == 0:
        assert time.monotonic() < end, "no progress was written"
        with suppress(FileNotFoundError):
            step = json.loads(progress.read_text())["step"]
        time.sleep(0.2)
    ((job, process),) = cluster.freeze(jobs, keys["my_mae"])
    (copied,) = cluster.runs.glob("ledger/code-*/methods_0")
    assert (copied / "my_mae.py").read_text() == written

    edited = written.replace("        tokens = self", f"        {BOOM}\n        tokens = self", 1)
    (mine / "my_mae.py").write_text(edited)
    (mine / "my_boom.py").unlink()
    said = cluster.call("status", cluster.grid, status=2).stderr
    assert "unknown method 'my_boom'" in said

    cluster.environment["SARBENCH_METHODS"] = str(copied)  # what was submitted
    assert keys == {e["method"]: e["key"] for e in cluster.status()["pretrain"]}
    with live_page(cluster) as wait_for:
        os.utime(progress)  # stopped for long
        shown = wait_for(
            lambda state: any(one["key"] == keys["my_mae"] for one in state["running"])
        )
        (one,) = (one for one in shown["running"] if one["key"] == keys["my_mae"])
        assert one["job"] == job
        assert 0 < one["step"] < one["steps"]
        assert one["seen"]
        assert one["heartbeat_s"] is not None
        (running,) = (each for each in shown["jobs"] if each["job"] == job)
        assert running["work"] == "pretraining My mae"
        assert running["heartbeat_s"] is not None
        assert shown["waiting"] > 0
        os.kill(process, signal.SIGCONT)
        last = wait_for(lambda state: {"done", "failed"} == set(state["counts"]))
    (failure,) = last["failures"]
    assert (failure["name"], failure["class"]) == ("My boom", "exception")
    assert "the sonar hit an iceberg" in failure["tail"][-1]
    assert any(str(copied / "my_boom.py") in line for line in failure["tail"])
    assert last["counts"] == {"done": 30, "failed": 10}  # of the method and two controls
    assert (last["jobs"], last["waiting"]) == ([], 0)
    record = json.loads((cluster.runs / "pretrain" / keys["my_mae"] / "record.json").read_text())
    assert record["identity"]["method"] == "my_mae"


def test_a_job_that_the_kernel_killed_for_its_memory_is_retried_with_more(tmp_path, ready):
    if configured("TaskPlugin") != "task/cgroup":
        pytest.skip(
            "this SLURM does not limit memory; `make cluster LIMITS=1` starts one that does"
        )
    small = PROFILE.replace("[pretrain]", "retry_factor = 4\n[pretrain]\nmemory_gb = 0.4")
    cluster = Cluster(tmp_path, ready, profile=small)
    cluster.grid.write_text(SHORT)
    words = "-m", "mae", "-p", "knn", "-k", "5"
    cluster.submit(*words)
    entry = cluster.wait()["pretrain"][0]
    assert (entry["state"], entry["failure"]) == ("failed", "out_of_memory"), entry
    assert "oom" in cluster.call("status", cluster.grid, *words, status=1).stdout.lower()
    assert "0 jobs in 0 arrays" in cluster.submit(*words)  # only `retry` submits it again
    said = cluster.call("retry", cluster.grid, *words).stdout
    wanted = "pretrain: memory_gb = 1.6, because 1 pretraining ran out of memory with 0.4"
    assert wanted in " ".join(said.split())
    job = cluster.jobs()[entry["key"]]
    asked = subprocess.run(
        ["scontrol", "show", "job", job], check=True, capture_output=True, text=True
    ).stdout
    assert re.search(r"MinMemoryNode=(1638M|1\.6)", asked), asked
    assert cluster.wait()["pretrain"][0]["state"] == "done"


def test_two_jobs_share_one_gpu(tmp_path, ready):
    shared = PROFILE.replace("gpus = 1", 'gpus = 0\nsbatch = {gres = "shard:1"}')
    setup = 'setup = ["echo this job has GPU $CUDA_VISIBLE_DEVICES"]'
    cluster = Cluster(tmp_path, ready, profile=f"{setup}\n{shared}")
    cluster.grid.write_text(GRID.replace(', "sar_jepa"', "").replace('["random_init"]', "[]"))
    words = "-p", "knn", "-k", "5"
    keys = [e["key"] for e in cluster.plan()["pretrain"][:2]]
    with held():
        cluster.submit(*words)
        jobs = cluster.jobs()
    both = cluster.freeze(jobs, *keys)  # both run now
    for _, process in both:
        os.kill(process, signal.SIGCONT)
    assert [e["state"] for e in cluster.wait()["pretrain"][:2]] == ["done"] * 2
    gpus = [re.findall(r"this job has GPU (\S+)", cluster.log(job)) for job, _ in both]
    assert gpus == [["0"], ["0"]]


def test_a_suggested_profile_submits_and_the_next_one_follows_what_its_jobs_used(tmp_path, ready):
    cluster = Cluster(tmp_path, ready)
    cluster.grid.write_text(SHORT)
    words = "-m", "mae", "-p", "knn", "-k", "5"
    cluster.profile = tmp_path / "site.toml"
    places = "--runs", cluster.runs, "--data", tmp_path
    said = cluster.call("doctor", "--suggest-profile", cluster.profile, *places)
    assert "for partition gpu" in said.stdout + said.stderr
    text = cluster.profile.read_text()
    assert "gpus = 1  # sinfo: 2 on each node" in text
    assert "time_min = 1440  # our default" in text
    own = 'device = "cpu"\n' + re.sub(r"memory_gb = \d+", "memory_gb = 3", text)
    cluster.profile.write_text(own)  # the GPUs are stand-ins
    cluster.submit(*words)
    cluster.wait()
    assert {e["state"] for e in cluster.status()["runs"] if e["method"] == "mae"} >= {"done"}
    if configured("AccountingStorageType").endswith("/none"):
        pytest.skip("without `sacct`; `make cluster ACCOUNTING=1` starts it")
    later = tmp_path / "later.toml"
    cluster.call("doctor", "--suggest-profile", later, *places)
    text = later.read_text()
    used = re.findall(r"# sacct: (\d) finished jobs used at most (\S+) GB, times 1.5", text)
    assert [jobs for jobs, _ in used] == ["1", "1"], text
    assert all(0.2 < float(gb) < 3 for _, gb in used)  # torch is loaded
    assert re.search(r"time_min = 10  # sacct: 1 finished jobs used at most \d min, times", text)
