"""The state of a grid as JSON values for the live page, from the store and the queue."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

from ..grid.applicable import sentences
from ..identity import KINDS
from ..plan.entry import Entry
from ..plan.plan import Plan, describe_entry, describe_pretraining
from ..slurm.job_states import JobStates
from ..slurm.overview import last_lines, own_failures, running_jobs
from ..store.history import read_history
from ..store.progress import LEASE, read_progress
from ..store.records import Store

SHOWN = 40  # failures and jobs
POINTS = 300  # of a curve


def grid_state(made: Plan, states: JobStates, store: Store) -> dict[str, Any]:
    """Return everything but the progress of running pretrainings."""
    ages = [age_s(store.root / kind) for kind in KINDS]
    failures = own_failures(made)
    jobs, waiting = running_jobs(made, states)
    shown = [entry for entry in made.pretrain if _has_progress(entry, store)]
    return {
        "grid": made.grid.name,
        "store": str(store.root),
        "counts": made.counts(),
        "total": len(made.runs),
        "pretrain_counts": dict(Counter(entry.state for entry in made.pretrain)),
        "rows": [
            {
                "name": describe_pretraining(start.planned), "state": start.state,
                "runs": dict(Counter(entry.state for entry in runs)),
                "reason": _job(start) if start in shown else start.reason,
            }
            for start, runs in made.grouped()
        ],
        "not_applicable": list(sentences(made.not_applicable)),
        "running": [
            {"key": entry.key, "name": describe_pretraining(entry.planned), "job": entry.job}
            for entry in shown
        ],
        "jobs": [
            {
                "job": one.job, "work": one.work, "node": one.node, "elapsed": one.elapsed,
                "log": str(one.log) if one.log else None,
            }
            for one in jobs[:SHOWN]
        ],
        "job_count": len(jobs),
        "waiting": waiting,
        "failures": [
            {
                "name": describe_entry(entry), "class": entry.failure_class or "", "job": entry.job,
                "reason": entry.reason, "tail": list(_tail(entry, states)),
            }
            for entry in failures[:SHOWN]
        ],
        "failure_count": len(failures),
        "changed_s": min((age for age in ages if age is not None), default=None),
    }  # fmt: skip


def _has_progress(entry: Entry, store: Store) -> bool:
    """Return whether a pretraining runs in a process of its own."""
    if entry.state != "running" or not entry.key:
        return False
    return bool(entry.job) or (store.folder("pretrain", entry.key) / LEASE).exists()


def _job(entry: Entry) -> str:
    """Return the job of a pretraining; its progress, which is newer, is shown elsewhere."""
    return f"job {entry.job}" if entry.job else ""


def _tail(entry: Entry, states: JobStates) -> list[str]:
    try:
        return list(last_lines(entry, states))
    except OSError as error:  # the log has just been removed
        return [f"the log cannot be read: {error}"]


def age_s(path: Path | str | None) -> float | None:
    """Return the seconds since a file was changed; None without one."""
    try:
        return None if path is None else max(0.0, time.time() - Path(path).stat().st_mtime)
    except OSError:
        return None


class Curves:
    """Losses of running pretrainings: those of their history, and those seen meanwhile."""

    def __init__(self, store: Store) -> None:
        """Start without a seen loss."""
        self._store = store
        self._seen: dict[str, dict[int, float]] = {}

    def progress(self, key: str) -> dict[str, Any]:
        """Return step, speed, heartbeat and losses of a running pretraining.

        The heartbeat is the age of the lease that its process renews every few seconds.
        """
        folder = self._store.folder("pretrain", key)
        running = read_progress(folder)
        beat = age_s(folder / LEASE)
        found: dict[str, Any] = {"heartbeat_s": beat, "means": self._means(key)}
        if running is not None:
            now = running.progress
            seen = self._seen.setdefault(key, {})
            if now.step and now.images_per_s:  # else no step is done in this process
                seen[now.step] = now.loss
            while len(seen) > POINTS:
                for step in list(seen)[1:-1:2]:
                    del seen[step]
            found |= {
                "step": now.step, "steps": now.steps, "loss": now.loss, "host": running.host,
                "images_per_s": now.images_per_s, "collapsed": now.collapsed,
                "left_s": now.left_s if now.images_per_s else None,
            }  # fmt: skip
        found["seen"] = sorted(self._seen.get(key, {}).items())
        return found

    def _means(self, key: str) -> list[tuple[float, float]]:
        """Return the mean loss of each epoch at its middle, thinned to `POINTS`."""
        try:
            lines = read_history(self._store.history(key))
        except OSError:
            return []
        points, start = [], 0
        for line in lines:
            if line.get("loss") is not None:
                points.append(((start + line["step"]) / 2, line["loss"]))
            start = line["step"]
        return points[:: len(points) // POINTS + 1]
