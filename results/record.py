"""Schema of the files of a store: records of pretrainings and runs, and failed attempts.

A record has an `identity` (everything that changes the result), the result, and its `provenance`.
Scores are fractions in [0, 1]. Unknown fields, missing fields, NaN and wrong types are refused.
"""

import json
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
Score = float
Digest = str


def digest_json(value: Any) -> Digest:
    """Return the SHA-256 of the canonical JSON of `value`: sorted keys, no blanks, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


class Strict(BaseModel):
    """A model that refuses unknown fields and converts no types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Provenance(Strict):
    """Origin of a record; no field changes a score by more than rounding errors."""

    commit: str = Field(description="git commit of the code, or `unknown`")
    dirty: bool = Field(description="the code differed from that commit")
    versions: dict[str, str]
    host: str
    device: str = Field(description="`cpu`, or the name of the GPU")
    threads: int
    started: str = Field(description="ISO 8601, UTC")
    wall_s: float = Field(
        ge=0, description="seconds over all parts of a resumed pretraining, without lost work"
    )
    gpu_s: float = Field(ge=0, description="wall_s times the number of GPUs")
    peak_memory_mb: float = Field(
        ge=0,
        description="of the GPU, or without one of the process (on systems other than Linux: since "
        "the process started); of the first of several processes",
    )
    plugin: str | None = Field(
        default=None,
        description="of a pretraining by a method of another package or of a folder: digest of "
        "its source files at the start; null for other records and in older ones",
    )


class Record(Strict):
    """Common fields of the records of pretrainings and runs."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    key: str
    identity: dict[str, Any]
    provenance: Provenance


class Architecture(Strict):
    """The network of a pretraining and its cost.

    A multiplication and an addition are two FLOPs. Only matrix products and convolutions count.
    """

    encoder: str = Field(description="class of the network and its kind")
    encoder_parameters: int = Field(ge=0)
    trained_parameters: int = Field(ge=0, description="encoder and predictor; 0 for a control")
    encoder_gflop: float = Field(ge=0, description="of one chip through the encoder")
    step_gflop: float | None = Field(
        description="of one chip in one pretraining step, forward and backward; null for a control"
    )


class GivenSource(Strict):
    """The file of given weights, and what was declared when it was imported.

    No number depends on it, so it is in no key.
    """

    file: str = Field(description="its name, without the folder")
    label: str | None = Field(default=None, description="name for people")
    seen: list[str] | None = Field(default=None, description="what it was trained on; [] = nothing")
    labels: bool | None = Field(default=None, description="true if labels were used")


class PretrainRecord(Record):
    """A finished pretraining.

    Its folder holds `encoder.safetensors`, `history.jsonl` and, for figures, `predictions.npz`.
    """

    kind: Literal["pretraining"] = "pretraining"
    weights_digest: Digest = Field(description="SHA-256 of encoder.safetensors")
    steps: int
    images_per_s: float
    final_loss: float | None = Field(description="mean of the last epoch; null for a control")
    feature_spread: float | None = Field(
        description="standard deviation of features over chips, relative to their norm; a value "
        "near 0 means collapse"
    )
    collapsed_step: int | None = Field(
        default=None,
        ge=1,
        description="first step of the history with a feature spread or rank below 5% of that "
        "before the training (of the rank, of its excess over 1); null if there is none, for a "
        "control, and in older records",
    )
    architecture: Architecture | None = Field(
        default=None, description="null in records that are older than this field"
    )
    given: GivenSource | None = Field(
        default=None,
        description="of given weights: their file; null for others and in older records",
    )


class RunRecord(Record):
    """The scores of a finished run; its folder holds `predictions.npz`."""

    kind: Literal["run"] = "run"
    weights_digest: Digest
    accuracy: Score = Field(ge=0, le=1)
    balanced_accuracy: Score = Field(ge=0, le=1)
    macro_f1: Score = Field(ge=0, le=1)
    metrics: dict[str, float] = Field(
        default={}, description="metrics of the scores of all classes; empty in older records"
    )
    lower_is_better: list[str] = Field(
        default=[], description="metrics of other packages of which lower values are better"
    )
    train_count: int = Field(ge=1, description="labelled chips used")
    test_count: int = Field(ge=1)
    support_digest: Digest = Field(description="SHA-256 over the ids of the labelled chips")
    predictions_digest: Digest = Field(description="SHA-256 of predictions.npz")
    drift: float | None = Field(
        default=None,
        ge=0,
        le=2,
        description="1 minus the mean cosine of the features of clean and changed test chips; null "
        "for clean chips, for protocols that train the encoder, and in older records",
    )


class Attempt(Strict):
    """A failed pretraining or run."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=SCHEMA_VERSION, le=SCHEMA_VERSION)
    failure: str = Field(description="exception class, or one of `bench/plan/failure_class.py`")
    failure_class: str | None = Field(
        default=None,
        description="`failure_class` of the exception; null if it has none, and in older attempts",
    )
    message: str
    traceback: str
    log_tail: list[str] = []
    host: str
    time: str = Field(description="ISO 8601, UTC")
