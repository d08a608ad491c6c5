"""Profiles that `doctor --suggest-profile` writes, from answers of SLURM's commands."""

import pytest

from sarbench.bench.slurm import ledger, suggest_profile
from sarbench.bench.slurm.commands import Partition, Site, SlurmError
from sarbench.bench.slurm.ledger import Array, Element
from sarbench.bench.slurm.profile import ProfileError, check_site, read_profile
from sarbench.bench.store.records import Store

PARTITIONS = """\
PartitionName=cpu Default=YES MaxTime=UNLIMITED OverSubscribe=NO State=UP
PartitionName=a100 Default=NO MaxTime=10:00:00 OverSubscribe=EXCLUSIVE State=UP
PartitionName=old Default=NO MaxTime=1-00:00:00 OverSubscribe=NO State=DOWN
"""
NODES = """\
cpu|128|256000|mix|(null)
a100|64|512000|idle|gpu:a100:4(S:0-1),lscratch:900
a100|32|128000|alloc|gpu:a100:2,gpu:v100:2
a100|2|1000|down*|gpu:a100:4
old|64|512000|idle|gpu:8
"""
USED = """\
7_0|COMPLETED|3600|
7_0.batch|COMPLETED|3600|4.00M
7_0.0|COMPLETED|3600|6144.00M
7_1|TIMEOUT|36000|
7_1.0|CANCELLED|36000|90000.00M
"""


def answers(monkeypatch, **given: str) -> None:
    """Let the commands answer; others are missing."""

    def command(*words: str, **_: object) -> str:
        if words[0] not in given:
            raise SlurmError(f"no {words[0]} here")
        return given[words[0]]

    monkeypatch.setattr(suggest_profile, "command", command)


def test_a_profile_is_suggested_from_nodes_that_are_up_and_passes_its_own_check(
    tmp_path, monkeypatch
):
    answers(monkeypatch, scontrol=PARTITIONS, sinfo=NODES)
    path = tmp_path / "site.toml"
    said = suggest_profile.suggest_profile(path, Store(tmp_path / "runs"))
    assert said == f"written to {path}, for partition a100; read its comments"
    profile = read_profile(path)
    pretrain, evaluate = profile.allocation("pretrain"), profile.allocation("evaluate")
    assert (pretrain.partition, pretrain.gpus, pretrain.cpus) == ("a100", 1, 4)
    assert (pretrain.memory_gb, pretrain.time_min) == (16, 600)  # our default; the partition's
    assert (evaluate.memory_gb, evaluate.time_min) == (16, 240)
    check_site(profile, Site(1000, {"a100": Partition("a100", 600)}, "a100", accounting=False))
    text = path.read_text()
    assert (
        "a100: 2 nodes up, with 32 cores, 125 GB, 4 GPUs (a100, v100) or more; at most 600" in text
    )
    assert "time_min = 600  # scontrol: the limit of the partition" in text
    assert '# gpu = "a100"' in text
    assert "whole nodes" in text
    with pytest.raises(ProfileError, match="exists, and a suggestion does not replace it"):
        suggest_profile.suggest_profile(path, Store(tmp_path / "runs"))


def test_a_suggestion_follows_past_jobs_and_the_account(tmp_path, monkeypatch):
    store = Store(tmp_path / "runs")
    made = ledger.new_submission("g", "code", {})
    elements = [Element(label="M", pretraining=key, runs=[]) for key in "ab"]
    made.arrays.append(
        Array(name="000-pretrain", stage="pretrain", after=None, job_id="7", elements=elements)
    )
    ledger.write(store, made)
    answers(
        monkeypatch, scontrol=PARTITIONS, sinfo=NODES, sacct=USED,
        sacctmgr="sar|other|5\nsar|sar|200\n",
    )  # fmt: skip
    path = tmp_path / "site.toml"
    suggest_profile.suggest_profile(path, store)
    profile = read_profile(path)
    pretrain = profile.allocation("pretrain")
    assert (pretrain.memory_gb, pretrain.time_min) == (9, 90)  # 6 GB and 60 minutes, times 1.5
    assert (pretrain.account, profile.max_submitted) == ("sar", 200)
    assert (
        "memory_gb = 9  # sacct: 1 finished jobs used at most 6.0 GB, times 1.5" in path.read_text()
    )
    assert profile.allocation("evaluate").time_min == 240


def test_a_site_without_gpus_gets_jobs_on_cpus_and_one_without_nodes_none(tmp_path, monkeypatch):
    answers(monkeypatch, scontrol=PARTITIONS, sinfo="cpu|128|8000|mix|(null)\n")
    path = tmp_path / "site.toml"
    suggest_profile.suggest_profile(path, Store(tmp_path / "runs"))
    allocation = read_profile(path).allocation("pretrain")
    assert (allocation.partition, allocation.gpus, allocation.cpus) == ("cpu", 0, 1)
    assert allocation.memory_gb == 7
    answers(monkeypatch, scontrol=PARTITIONS, sinfo="cpu|128|8000|drain|(null)\n")
    with pytest.raises(ProfileError, match="no partition of this site has a node that is up"):
        suggest_profile.suggest_profile(tmp_path / "other.toml", Store(tmp_path / "runs"))
