"""The setting of a process that does a job."""

import platform
import subprocess
import sys

import pytest
import torch
from small_pretrainings import identity_of

from sarbench.bench.execution import job as module
from sarbench.bench.execution.job import SLOW_BF16, Event, execute
from sarbench.bench.identity import Job, Resources
from sarbench.bench.store.records import Store

FAULTS = """
import resource
import torch
from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Resources

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for repeat in range(10):
        torch.ones(2**24)  # 64 MiB, 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
prepare_process(Resources())
torch.ones(2**24)
print(faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc only")
def test_a_prepared_process_reuses_freed_memory():
    fresh, prepared = map(int, subprocess.check_output([sys.executable, "-c", FAULTS]).split())
    assert prepared < fresh / 4


@pytest.mark.skipif(platform.machine() != "x86_64", reason="known for x86 only")
@pytest.mark.parametrize(
    ("precision", "has_bf16", "warned"),
    [("bf16", False, True), ("bf16", True, False), ("fp32", False, False)],
)
def test_a_processor_without_bf16_is_named(tmp_path, monkeypatch, precision, has_bf16, warned):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(module, "pretrain", lambda *given, **more: None)
    events: list[Event] = []
    job = Job("MAE", identity_of(precision=precision, recipe=None), [], [])
    execute(job, Store(tmp_path), Resources(), events.append)
    assert [one.text for one in events if one.kind == "warning"] == [SLOW_BF16] * warned
