"""Values of the history show a collapse when it happens, read no test chip and change no weight."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from chips import labelled_chips
from scipy.stats import entropy
from sklearn.neighbors import KNeighborsClassifier
from small_pretrainings import RECIPE, make_pool, outcome, pool_from, stop_after, tiny_identity, use

from sarbench.bench.data.chips import Chips
from sarbench.bench.identity import Resources
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.collapse import collapsed_at, effective_rank
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.watch import LabelledChips, classifies
from sarbench.bench.store.records import Store
from sarbench.methods import get


def test_the_effective_rank_has_its_closed_form(rng):
    assert effective_rank(torch.eye(7)) == pytest.approx(7, rel=1e-4)
    assert effective_rank(torch.ones(9, 5)) == pytest.approx(1, abs=1e-4)
    # singular values 3 and 1: shares 3/4 and 1/4
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(
        (4 / 3) ** 0.75 * 4**0.25, rel=1e-5
    )
    features = torch.randn(20, 6, generator=rng)
    shares = np.linalg.svd(features.numpy(), compute_uv=False)
    assert effective_rank(features) == pytest.approx(np.exp(entropy(shares)), rel=1e-4)
    assert np.isnan(effective_rank(features * float("nan")))


def test_a_collapse_is_at_the_first_line_below_five_percent():
    spread = [{"step": s, "spread": v} for s, v in ((0, 0.5), (2, 0.026), (4, 0.024), (6, 0.01))]
    assert collapsed_at(spread) == 4
    assert collapsed_at(spread[:2]) is None
    # 5% of what the rank exceeds 1 by: 1 + 0.05 * 20 = 2
    rank = [{"step": s, "spread": 1.0, "rank": v} for s, v in ((0, 21.0), (2, 2.1), (4, 1.9))]
    assert collapsed_at(rank) == 4
    assert collapsed_at([]) is None
    assert collapsed_at([{"step": 3, "spread": 0.0}, {"step": 6, "spread": 0.0}]) is None


def test_knn_is_measured_ten_times_in_a_long_training():
    assert [epoch for epoch in range(6) if classifies(epoch, 5)] == [0, 1, 2, 3, 4, 5]
    times = [epoch for epoch in range(201) if classifies(epoch, 200)]
    assert times == list(range(0, 201, 20))


class Squeezes(get("mae")):
    """MAE that multiplies its features by zero after its second step."""

    steps_done = 0

    def after_step(self, progress, index, kept):
        super().after_step(progress, index, kept)
        self.steps_done += 1
        if self.steps_done >= 2:
            with torch.no_grad():
                norm = [m for m in self.encoder.modules() if isinstance(m, torch.nn.LayerNorm)][-1]
                norm.weight.zero_()
                norm.bias.fill_(1.0)


def test_a_collapse_is_said_once_when_it_happens_and_is_in_the_record(tmp_path, monkeypatch):
    use(monkeypatch, Squeezes)
    identity, store, said = tiny_identity(), Store(tmp_path), []
    shown = []
    with pytest.raises(Interrupted):
        pretrain(
            identity, make_pool(), store, Resources(), warn=said.append,
            on_progress=shown.append, should_stop=stop_after(3),
        )  # fmt: skip
    (text,) = said
    assert text.startswith("mae, seed 0: the features have collapsed at step 2 of 6: feature spr")
    assert "stop it, and set a lower base_lr" in text
    assert [str(one) for one in shown] == [
        "step 1 of 6", "step 2 of 6", "step 3 of 6, features collapsed at step 2",
    ]  # fmt: skip
    record = pretrain(identity, make_pool(), store, Resources(), warn=said.append)
    assert len(said) == 1
    assert record.collapsed_step == 2


def test_a_training_that_does_not_collapse_says_nothing(tmp_path):
    record = pretrain(tiny_identity(), make_pool(), Store(tmp_path), Resources(), warn=pytest.fail)
    assert record.collapsed_step is None


def watched() -> Chips:
    """Return a data set of three classes whose test chips cannot be read."""
    pixels, labels = labelled_chips(3, 8)
    chips = pool_from(pixels).places[0][0]
    is_test = np.arange(24) % 2 == 1

    class OnlyTraining(Chips):
        def chip(self, index):
            assert not is_test[index], "a test chip is read"
            return super().chip(index)

    values = vars(chips) | {"labels": labels, "classes": ("a", "b", "c"), "is_test": is_test}
    return OnlyTraining(**values)


def test_watching_a_data_set_changes_no_weight_and_reads_no_test_chip(tmp_path):
    identity = tiny_identity(recipe=replace(RECIPE, epochs=2))
    with_it, without = Store(tmp_path / "with"), Store(tmp_path / "without")
    pretrain(identity, make_pool(), with_it, Resources(), watched=watched())
    pretrain(identity, make_pool(), without, Resources())
    weights, history = outcome(with_it, identity)
    assert all(0 <= line.pop("knn") <= 1 for line in history)
    assert (weights, history) == outcome(without, identity)


def test_knn_is_that_of_scikit_learn_on_the_two_halves():
    class Flat(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, None]

    chips = watched()
    labelled = LabelledChips(chips, 32, "cpu")
    assert len(labelled.support) == len(labelled.queries) == 6
    assert not set(labelled.support) & set(labelled.queries)
    x = np.stack(
        [chips.chip(i).ravel() if not chips.is_test[i] else np.zeros(1024) for i in range(24)]
    )
    nearest = KNeighborsClassifier(1, metric="cosine")
    nearest.fit(x[labelled.support], chips.labels[labelled.support])
    expected = nearest.score(x[labelled.queries], chips.labels[labelled.queries])
    assert labelled.accuracy(Flat()) == pytest.approx(expected)


def test_a_history_is_json_that_any_reader_takes(tmp_path):
    identity, store = tiny_identity(), Store(tmp_path)
    pretrain(identity, make_pool(), store, Resources())
    lines = [json.loads(line) for line in store.history(identity.key).read_text().splitlines()]
    assert set(lines[0]) == {"step", "epoch", "spread", "rank"}
    assert set(lines[1]) == set(lines[0]) | {"loss", "lr", "images_per_s"}
    assert all(1 <= line["rank"] <= 9 for line in lines)
