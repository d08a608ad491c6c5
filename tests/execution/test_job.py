"""The setting of a process that does a job."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from sarbench.bench.execution.job import prepare_process
from sarbench.bench.identity import Resources

if {prepared}:
    prepare_process(Resources())
before = 0
for repeat in range(14):
    if repeat == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB, 16384 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc only")
def test_a_prepared_process_reuses_freed_memory():
    faults = [
        int(subprocess.check_output([sys.executable, "-c", FAULTS.format(prepared=prepared)]))
        for prepared in (False, True)
    ]
    assert faults[1] < faults[0] / 4
