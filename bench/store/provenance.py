"""Code, versions, machine, time and memory of a record."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...results.record import Provenance
from ..identity import Resources

PACKAGES = ("sarbench", "torch", "timm", "numpy", "scipy")


@cache
def code_state() -> tuple[str, bool]:
    """Return the git commit of the code, and True if the code differs from it.

    A snapshot for a cluster job has both in `commit.json`.
    """
    folder = Path(__file__).parent.parent
    written = folder.parent / "commit.json"
    if written.exists():
        state = json.loads(written.read_text())
        return state["commit"], state["dirty"]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


class Clock:
    """A clock that starts when it is made.

    Attributes:
        before_s: Seconds that earlier processes spent on the same work before they were stopped.
    """

    def __init__(self, resources: Resources, processes: int = 1, plugin: str | None = None) -> None:
        self._resources, self._processes, self._plugin = resources, processes, plugin
        self._started, self._began, self.before_s = now(), time.monotonic(), 0.0
        _reset_peak(resources.device)

    @property
    def wall_s(self) -> float:
        """Seconds of all processes so far."""
        return self.before_s + time.monotonic() - self._began

    def provenance(self, share: float = 1.0) -> Provenance:
        """Return the provenance.

        Args:
            share: Share of the time, if several results were computed at once.
        """
        import torch

        wall_s = self.wall_s * share
        commit, dirty = code_state()
        device = torch.device(self._resources.device)
        on_gpu = device.type == "cuda"
        return Provenance(
            commit=commit,
            dirty=dirty,
            versions=_versions(),
            host=host(),
            device=torch.cuda.get_device_name(device) if on_gpu else "cpu",
            threads=self._resources.threads,
            started=self._started,
            wall_s=round(wall_s, 3),
            gpu_s=round(wall_s * self._processes, 3) if on_gpu else 0.0,
            peak_memory_mb=round(_peak_mb(self._resources.device), 1),
            plugin=self._plugin,
        )


def _reset_peak(device: str) -> None:
    """Start a new measurement of peak memory.

    Outside Linux the peak of a process cannot be reset, so it counts from the start of the process.
    """
    import torch

    if device.startswith("cuda"):
        if torch.cuda.is_initialized():  # else nothing is allocated yet
            torch.cuda.reset_peak_memory_stats(device)
        return
    # The file does not exist outside Linux, and some kernels are built without it.
    with suppress(OSError), Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")


def _peak_mb(device: str) -> float:
    """Return the peak memory since `_reset_peak`, in MiB."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10  # KiB
    except (OSError, IndexError):
        unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, else KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
