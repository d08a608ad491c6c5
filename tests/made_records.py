"""Records made by hand."""

from sarbench.results.record import Provenance, RunRecord, digest_json


def make_record(seed: int = 0, accuracy: float = 0.5) -> RunRecord:
    identity = {"dataset": "synthetic", "seed": seed}
    return RunRecord(
        key=digest_json(identity), identity=identity,
        provenance=Provenance(
            commit="unknown", dirty=True, versions={}, host="h", device="cpu", threads=1,
            started="2026-01-01T00:00:00+00:00", wall_s=1, gpu_s=0, peak_memory_mb=1,
        ),
        weights_digest="w", accuracy=accuracy, balanced_accuracy=0.5, macro_f1=0.5,
        train_count=1, test_count=1, support_digest="s", predictions_digest="p",
    )  # fmt: skip
