"""Equal keys in two of our archives have equal results, or the page of findings names them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "real_small.md"
STATED = re.compile(r"^\| (\d+) \| (.*?)(?: \(.*\))? \|$", re.MULTILINE)
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "support_digest", "test_count")


class Kept:
    """The results of each key in all archives."""

    def __init__(self) -> None:
        self.weights: dict[str, set[str]] = defaultdict(set)  # key of a pretraining
        self.scores: dict[tuple[str, str], set[tuple[Any, ...]]] = defaultdict(set)  # and weights
        self.labels: dict[str, tuple[str, int]] = {}  # key -> method and seed
        for path in sorted((ROOT / "results" / "archive").glob("*.zip")):
            with ZipFile(path) as archive:
                methods = json.loads(archive.read("plan.json"))["methods"]
                for record in _records(archive, "pretrain.jsonl"):
                    key, identity = record["key"], record["identity"]
                    self.weights[key].add(record["weights_digest"])
                    label = methods[identity["method"]]["label"]
                    self.labels[key] = label, identity["seed"]
                for record in _records(archive, "evaluate.jsonl"):
                    of = record["key"], record["weights_digest"]
                    self.scores[of].add(tuple(record[name] for name in SCORES))


def _records(archive: ZipFile, name: str) -> Iterator[dict[str, Any]]:
    return map(json.loads, archive.read(name).decode().splitlines())


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


def test_pretrainings_with_other_weights_in_another_archive_are_named(kept: Kept):
    section = PAGE.read_text("utf-8").split("## Trained twice\n")[1].split("\n## ")[0]
    stated = {
        (label, int(seed))
        for seed, labels in STATED.findall(section)
        for label in labels.split(", ")
    }
    differing = {kept.labels[key] for key, digests in kept.weights.items() if len(digests) > 1}
    assert differing == stated


def test_runs_with_equal_keys_and_weights_have_equal_scores(kept: Kept):
    assert [of for of, scores in kept.scores.items() if len(scores) > 1] == []
