"""Time and memory in a record are those of its work, not of the process."""

import mmap
import resource
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sarbench.bench.identity import Resources
from sarbench.bench.store.provenance import Clock


def resident_mb() -> float:
    """Return the memory of this process now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def peak_of(megabytes: int) -> float:
    """Return the recorded peak of work that holds an array of this size for a moment."""
    clock = Clock(Resources())
    # Not by malloc, which may reuse memory that it has kept (bench/execution/job.py).
    held = np.frombuffer(mmap.mmap(-1, megabytes * 2**20), np.uint8)
    held[:] = 1
    del held
    return clock.provenance().peak_memory_mb


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak of a process")
def test_the_peak_memory_of_small_work_does_not_include_earlier_large_work():
    peak_of(1)  # imports everything that the work needs
    before = resident_mb()
    large, small = peak_of(300), peak_of(20)
    assert large == pytest.approx(before + 300, abs=30)
    assert large - small == pytest.approx(280, abs=60)  # some memory may be freed in between


def test_the_peak_of_a_gpu_is_reset_and_every_gpu_counts(monkeypatch):
    reset: list[str] = []
    for name, function in (
        ("is_initialized", lambda: True),
        ("reset_peak_memory_stats", reset.append),
        ("max_memory_allocated", lambda device: 3 * 2**20),
        ("get_device_name", lambda device: "H100"),
    ):
        monkeypatch.setattr(torch.cuda, name, function)
    ticks = iter([100.0, 102.5])
    monkeypatch.setattr(
        "sarbench.bench.store.provenance.time", SimpleNamespace(monotonic=lambda: next(ticks))
    )
    clock = Clock(Resources(device="cuda:1"), processes=4)
    clock.before_s = 10.0
    made = clock.provenance()
    assert reset == ["cuda:1"]
    assert (made.wall_s, made.gpu_s, made.peak_memory_mb) == (12.5, 50.0, 3.0)
    assert made.device == "H100"
