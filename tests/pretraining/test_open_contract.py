"""Methods of other families in the loop: crops, queues, labels, states of chips, any encoder.

Each is stopped twice and resumed, and ends with the same bits.
"""

import copy
from dataclasses import asdict, replace

import numpy as np
import pytest
import timm
import torch
from chips import speckled_chips
from small_pretrainings import RECIPE, STEPS, identity_of, make_pool, outcome, stop_after

from sarbench.bench.augmentation.views import crops
from sarbench.bench.contract.checks import run_checks
from sarbench.bench.contract.two_threads import in_two_threads
from sarbench.bench.identity import Recipe, Resources
from sarbench.bench.method_facts.build import NoLabelsError, build_method
from sarbench.bench.method_facts.sample_batches import build, sample_batch
from sarbench.bench.pretraining import batch_norm
from sarbench.bench.pretraining.batch_norm import share_statistics
from sarbench.bench.pretraining.batches import Batches
from sarbench.bench.pretraining.claim import Interrupted
from sarbench.bench.pretraining.distributed import ALONE
from sarbench.bench.pretraining.loop import pretrain
from sarbench.bench.pretraining.optimisation import learning_rate, make_optimizer
from sarbench.bench.store.records import Store
from sarbench.methods import View, get
from sarbench.methods._encoders import (
    SIZES,
    TimmConfig,
    encoder_from_json,
    encoder_json,
    encoder_named,
)
from sarbench.methods._method import MethodConfigError
from sarbench.methods._timm import TimmEncoder, TimmModelError, UnknownTimmModelError

TINY_RESNET = asdict(TimmConfig("timm:test_resnet@64", 64))
HEAD = '''"""Test.

Hidden: nothing. Predicted: see below.

Paper: {paper}
Source: none.
Differs from the source: one channel.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from sarbench.methods import Method, View, initialise, register, summary_token


@dataclass(frozen=True)
class Config:
    """No settings."""


'''
SIMSIAM = (
    HEAD.format(paper="Chen and He, SimSiam, CVPR 2021.")
    + '''
@register(label="SimSiam", paper="arXiv:2011.10566")
class SimSiam(Method):
    """Two crops, one of them predicted from the other; no negatives."""

    def __init__(self, config, encoder, rng):
        super().__init__(config, encoder, rng)
        width = self.encoder.width
        self.project = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width),
            nn.BatchNorm1d(width, affine=False),
        )
        self.guess = nn.Sequential(
            nn.Linear(width, width // 4), nn.BatchNorm1d(width // 4), nn.ReLU(),
            nn.Linear(width // 4, width),
        )
        initialise(self, rng)

    @classmethod
    def views(cls, config):
        return (View(count=2),)

    def loss(self, batch, rng):
        z = [self.project(summary_token(self.encoder(v), self.encoder)) for v in batch.views]
        p = [self.guess(one) for one in z]
        pairs = (p[0], z[1]), (p[1], z[0])
        near = [functional.cosine_similarity(a, b.detach()).mean() for a, b in pairs]
        return -(near[0] + near[1]) / 2, None
'''
)
QUEUE = (
    HEAD.format(paper="He et al., MoCo, CVPR 2020.")
    + '''
@register(label="Queue", paper="arXiv:1911.05722")
class Queue(Method):
    """Crops against a queue of earlier ones, a centre of all, and the last feature of each chip."""

    has_chip_state = True

    def __init__(self, config, encoder, rng, chips):
        super().__init__(config, encoder, rng)
        width = self.encoder.width
        self.head = nn.Linear(width, 16)
        initialise(self, rng)
        self.register_buffer("queue", functional.normalize(torch.randn(32, 16, generator=rng)))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        self.register_buffer("seen", torch.zeros(chips, 16))

    @classmethod
    def views(cls, config):
        return (View(count=2), View(crop_scale=(0.05, 0.3), count=4))

    def loss(self, batch, rng):
        found = [
            functional.normalize(self.head(summary_token(self.encoder(v), self.encoder)), dim=1)
            for v in batch.views
        ]
        key = found[1].detach()
        losses = []
        for one in (found[0], *found[2:]):
            logits = torch.cat([(one * key).sum(1, keepdim=True), one @ self.queue.mT], 1) / 0.2
            losses.append(functional.cross_entropy(logits, torch.zeros(len(one)).long()))
        drift = (found[0] - self.seen[batch.index]).square().mean()
        return torch.stack(losses).mean() + 0.1 * drift, key

    def after_step(self, progress, index, kept):
        places = (self.place + torch.arange(len(kept))) % len(self.queue)
        self.queue[places] = kept
        self.place += len(kept)
        self.seen[index] = kept
'''
)


def labelled_pool(count: int = 9):
    pool = make_pool(count)
    pool.labels = np.arange(count, dtype=np.int64) % 3
    return pool


LABELLED = [{"name": "speckle:train", "digest": "d", "count": 9, "split": "s", "classes": 3}]


def check_resumed(tmp_path, identity, pool):
    """Train without stops, and with a stop after every second step; return the first store."""
    straight, stopped = Store(tmp_path / "straight"), Store(tmp_path / "stopped")
    record = pretrain(identity, pool, straight, Resources())
    for _ in range(STEPS // 2 - 1):
        with pytest.raises(Interrupted):
            pretrain(identity, pool, stopped, Resources(), should_stop=stop_after(2))
    again = pretrain(identity, pool, stopped, Resources(), should_stop=stop_after(2))
    assert outcome(stopped, identity) == outcome(straight, identity)
    assert again.weights_digest == record.weights_digest
    assert record.architecture.step_gflop > 0
    return straight


@pytest.mark.parametrize(
    "encoder", [pytest.param(encoder_json(SIZES["vit_nano"]), marks=pytest.mark.slow), TINY_RESNET]
)
@pytest.mark.parametrize("method", ["simclr", pytest.param("supervised", marks=pytest.mark.slow)])
def test_bundled_methods_on_both_kinds_of_encoder_resume_with_the_same_bits(
    tmp_path, method, encoder
):
    pool = LABELLED if method == "supervised" else []
    check_resumed(tmp_path, identity_of(method, encoder=encoder, pool=pool), labelled_pool())


def test_a_queue_a_state_of_each_chip_and_six_crops_resume_with_the_same_bits(tmp_path, package):
    package("plugin_queue", QUEUE)
    store = check_resumed(tmp_path, identity_of("plugin_queue", encoder=TINY_RESNET), make_pool())
    assert not list(store.root.glob("pretrain/*/predictions.npz"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("plugin_simsiam", SIMSIAM, marks=pytest.mark.slow),
        pytest.param("plugin_queue", QUEUE, marks=pytest.mark.slow),
    ],
)
def test_a_plug_in_of_another_family_passes_its_checks(package, name, text):
    package(name, text)
    assert {check: problem for check, problem in run_checks(get(name)) if problem} == {}


def test_the_first_crop_is_that_of_a_method_with_one(tmp_path):
    views = (View(), View(size=48, crop_scale=(0.05, 0.2), count=2))
    one, more = (
        Batches(make_pool(), RECIPE, 7, asked, 64, "cpu").batch(3) for asked in ((View(),), views)
    )
    assert torch.equal(one.views[0], more.views[0])
    assert [view.shape[2:] for view in more.views] == [(64, 64), (48, 48), (48, 48)]
    assert not torch.equal(more.views[1], more.views[2])
    assert torch.equal(one.index, more.index)


def test_a_view_may_have_its_own_flip_contrast_and_speckle():
    recipe = replace(RECIPE, flip=0.5, contrast=0.5)
    (_, plain), (_, own) = crops((View(), View(flip=0.0, contrast=0.1, looks=2)), recipe, 64)
    assert (plain.flip, plain.contrast, plain.looks) == (0.5, 0.5, None)
    assert (own.flip, own.contrast, own.looks) == (0.0, 0.1, 2)


def test_labels_and_rows_are_those_of_the_pool():
    pool = labelled_pool()
    batches = Batches(pool, RECIPE, 0, (View(),), 32, "cpu", labelled=True)
    rows = torch.cat([batches.batch(step).index for step in range(2)])
    labels = torch.cat([batches.batch(step).labels for step in range(2)])
    assert len(set(rows.tolist())) == 8
    assert torch.equal(labels, torch.from_numpy(pool.labels)[rows])
    assert Batches(pool, RECIPE, 0, (View(),), 32, "cpu").batch(0).labels is None


def test_a_method_that_needs_labels_is_not_built_without(tmp_path):
    with pytest.raises(NoLabelsError, match="mstar_soc:train"):
        build_method(identity_of("supervised"))


def test_nt_xent_is_that_of_the_paper():
    """Equation 1 by loops over the 2 B crops."""
    built = build(get("simclr")).eval()
    batch = sample_batch(built, 4)
    found = torch.cat([built._project(view) for view in batch.views]).detach().double().numpy()
    losses = []
    for i in range(8):
        same = np.exp(found[i] @ found.T / 0.1)
        losses.append(-np.log(same[(i + 4) % 8] / (same.sum() - same[i])))
    assert built.loss(batch, torch.Generator())[0].item() == pytest.approx(
        np.mean(losses), rel=1e-4
    )


@pytest.mark.parametrize(
    "name",
    ["timm:resnet18@64", "timm:convnext_atto@64", "timm:vit_tiny_patch16_224@64",
     "timm:swin_tiny_patch4_window7_224@224",
     pytest.param("timm:vgg11@64", marks=pytest.mark.slow)],
)  # fmt: skip
def test_tokens_of_timm_are_the_places_of_its_last_map(name):
    config = encoder_named(name)
    encoder = TimmEncoder(config).eval()
    images = torch.from_numpy(np.stack(speckled_chips(2, config.input_px)))[:, None].float()
    with torch.no_grad():
        tokens, found = encoder(images), encoder.model(images)
    assert tokens.shape == (2, tokens.shape[1], encoder.width)
    if found.ndim == 4:
        axis = 1 if found.shape[1] == encoder.width else 3
        places = found.movedim(axis, 3).reshape(2, -1, encoder.width)
        assert torch.equal(tokens, places)
    assert encoder.layer_numbers()[0].keys() == {name for name, _ in encoder.named_parameters()}
    assert encoder.has_class_token == ("vit" in name)


def test_weights_of_timm_are_drawn_by_its_rules_from_the_seed():
    first, second = (
        build_method(identity_of("simclr", encoder=TINY_RESNET, pool=[], seed=seed)).encoder
        for seed in (0, 1)
    )
    again = build_method(identity_of("simclr", encoder=TINY_RESNET, pool=[])).encoder
    control = build_method(identity_of("random_init", None, encoder=TINY_RESNET, pool=[])).encoder
    for name, weight in first.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))
        assert torch.equal(weight, control.get_parameter(name))
    assert not torch.equal(*(e.get_parameter("model.conv1.0.weight") for e in (first, second)))
    theirs = timm.create_model("test_resnet", in_chans=1)
    assert first.model.layer1[0].conv1.weight.std().item() == pytest.approx(
        theirs.layer1[0].conv1.weight.std().item(), rel=0.2
    )


def test_names_of_encoders():
    assert encoder_named("vit_nano") == SIZES["vit_nano"]
    assert encoder_named("timm:resnet18") == TimmConfig("timm:resnet18", 224)
    assert encoder_named("timm:resnet18@96").model == "resnet18"
    for wrong in ("resnet18", "timm:", "timm:a b", "timm:resnet18@0", "timm:resnet18@x"):
        assert encoder_named(wrong) is None
    with pytest.raises(UnknownTimmModelError, match="has no model 'resnet81'"):
        TimmEncoder(TimmConfig("timm:resnet81", 64))
    for encoder in (SIZES["vit_base"], TimmConfig("timm:resnet18@96", 96)):
        assert encoder_from_json(encoder_json(encoder)) == encoder


def test_a_method_that_leaves_patches_out_refuses_other_encoders():
    with pytest.raises(MethodConfigError, match="use one of vit_nano"):
        build(get("mae"), TimmConfig("timm:test_resnet@64", 64))


def test_batch_normalisation_in_halves_is_that_of_the_whole():
    layer = torch.nn.Sequential(torch.nn.BatchNorm2d(1))
    copies = [copy.deepcopy(layer) for _ in range(2)]
    x = 3 * torch.randn(8, 1, 5, 5, generator=torch.Generator().manual_seed(1)) + 2
    factors = torch.linspace(-1, 1, x.numel()).reshape(x.shape)

    def train(half, ranks):
        made = half(x[ranks.share(8)])
        (made * factors[ranks.share(8)]).sum().backward()
        return made

    def in_half(ranks):
        share_statistics(copies[ranks.rank], ranks.gather)
        return train(copies[ranks.rank], ranks)

    torch.testing.assert_close(torch.cat(in_two_threads(in_half)), train(layer, ALONE))
    for name, weight in layer.named_parameters():
        found = sum(half.get_parameter(name).grad for half in copies)
        torch.testing.assert_close(found, weight.grad)
    for half in copies:
        torch.testing.assert_close(half.state_dict(), layer.state_dict())


def test_rows_gathered_in_two_threads_get_their_gradient_from_both():
    rows = [
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([5.0, 7.0], requires_grad=True),
    ]

    def train(ranks):
        everyone = ranks.gather(rows[ranks.rank])
        ((ranks.rank + 1) * everyone * torch.arange(4.0)).sum().backward()
        return everyone.tolist()

    assert in_two_threads(train) == [[1, 2, 5, 7]] * 2
    assert [one.grad.tolist() for one in rows] == [[0, 3], [6, 9]]  # (1 + 2) * place


def test_statistics_of_a_shared_batch_are_kept_as_torch_keeps_them():
    whole, shared = torch.nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    layer = batch_norm.SharedBatchNorm(shared, lambda rows: rows)
    torch.testing.assert_close(layer(x), whole(x))
    torch.testing.assert_close(layer.state_dict(), whole.state_dict())
    torch.testing.assert_close(layer.eval()(x), whole.eval()(x))


def test_optimisers_and_schedules_of_a_recipe():
    method = build(get("simclr"))
    base = Recipe(epochs=90, batch=256, base_lr=0.1, warmup_epochs=0.0)
    kinds = {None: torch.optim.AdamW, "sgd": torch.optim.SGD, "lars": timm.optim.Lars}
    for name, kind in kinds.items():
        made = make_optimizer(method, replace(base, optimizer=name))
        assert type(made) is kind
        assert [group["weight_decay"] for group in made.param_groups] == [0.05, 0.0]
    step = replace(base, schedule="step")
    rates = [learning_rate(step, epoch) for epoch in (0.0, 29.99, 30.0, 59.9, 60.0, 89.9)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    with pytest.raises(ValueError, match="momentum is that of SGD or LARS"):
        Recipe(momentum=0.9)
    for name in ("simclr", "supervised"):
        Recipe(**get(name).source_recipe)


def test_a_network_of_timm_that_gives_its_class_token_only_is_refused():
    encoder = TimmEncoder(TimmConfig("timm:pit_ti_224", 224))
    with pytest.raises(TimmModelError, match="class token only"):
        encoder(torch.zeros(1, 1, 224, 224))


def test_the_class_token_of_a_network_without_a_count_of_prefix_tokens_comes_once():
    encoder = TimmEncoder(TimmConfig("timm:volo_d1_224", 224)).eval()
    with torch.no_grad():
        tokens = encoder(torch.rand(1, 1, 224, 224))
    assert tokens.shape == (1, 1 + 14 * 14, encoder.width)
