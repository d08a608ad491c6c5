"""The runs of a plan as plain values, one line for each run."""

from typing import Any

from ...results.leaderboard import METRICS
from ...results.record import RunRecord
from ..plan.plan import Plan
from .metric_values import records_of


def run_lines(plan: Plan) -> list[dict[str, Any]]:
    """Return every run of a plan, finished or not; scores are fractions, missing values None."""
    metrics = list(dict.fromkeys(name for one in records_of(plan) for name in one.metrics))
    lines = []
    for entry in plan.runs:
        run, record = entry.planned, entry.record
        done = record if isinstance(record, RunRecord) else None
        made = done.provenance if done else None
        identity = run.identity
        lines.append({
            "row": run.pretraining.row, "method": run.pretraining.method,
            "method_version": plan.methods[run.pretraining.method].version,
            "dataset": run.dataset, "protocol": run.protocol,
            "protocol_version": identity.protocol_version if identity else None,
            "settings": run.swept, "shots": run.shots, "condition": run.condition or "clean",
            "pretrain_seed": run.pretraining.seed, "seed": run.seed, "state": entry.state,
            **{name: getattr(done, name) if done else None for name in METRICS},
            **{name: done.metrics.get(name) if done else None for name in metrics},
            "train_count": done.train_count if done else None,
            "test_count": done.test_count if done else None,
            "device": made.device if made else None, "wall_s": made.wall_s if made else None,
            "started": made.started if made else None, "commit": made.commit if made else None,
            "weights_digest": done.weights_digest if done else None,
            "start": identity.start if identity else None, "key": entry.key,
        })  # fmt: skip
    return lines
