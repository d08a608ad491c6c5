"""few_shot and finetune: the protocols that train the encoder."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import timm
import torch
from one_test_set import images_of, run_one
from small_pretrainings import AnyDevice
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sarbench.bench.seeding import torch_stream
from sarbench.methods import _relative_positions
from sarbench.methods._encoders import SIZES, EncoderConfig, TimmConfig
from sarbench.methods._timm import TimmEncoder
from sarbench.methods._vit import Encoder, initialise
from sarbench.protocols import few_shot, finetune
from sarbench.protocols._settings import FewShot, Finetune
from sarbench.protocols._training import Classifier
from sarbench.protocols._training_together import train_together
from sarbench.protocols._types import LabelledImages, NotConvergedError, Predictions

RUNS = {"few_shot": partial(run_one, few_shot), "finetune": partial(run_one, finetune)}
QUICK = {
    "few_shot": FewShot(epochs=3, batch=16),
    "finetune": Finetune(epochs=3, warmup_epochs=1, batch=16),
}


class Block(nn.Module):
    """Mix tokens and channels; drop the whole branch per chip, drawn from the global state."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(2 * width, width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor) -> Tensor:
        tokens_in = self.norm(tokens)
        context = tokens_in.mean(1, keepdim=True).expand_as(tokens_in)
        branch = self.mix(torch.cat((tokens_in, context), -1)).relu()
        if self.training and self.drop_path:
            branch = branch * torch.empty(len(tokens), 1, 1).bernoulli_(1 - self.drop_path)
        return tokens + branch


class TinyEncoder(nn.Module):
    """Four patches of 4 x 4 pixels and a class token; it stores its inputs."""

    has_class_token, width = True, 12

    def __init__(self, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.patch_embed = nn.Conv2d(1, 12, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, 4, 12), requires_grad=False)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 12))
        self.blocks = nn.ModuleList(Block(12, drop_path) for _ in range(2))
        self.norm = nn.LayerNorm(12)
        rng = torch_stream(1, "pretrained")
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if "norm" not in name:
                    weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
        self.shown: list[tuple[bool, Tensor]] = []

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Number the embedding, two blocks, and the head with the final norm."""
        places = {"blocks.0": 1, "blocks.1": 2, "norm": 3}
        names = [name for name, _ in self.named_parameters()]
        found = {n: [at for place, at in places.items() if n.startswith(place)] for n in names}
        return {name: (at or [0])[0] for name, at in found.items()}, 3

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append((self.training, images.detach().clone()))
        patches = self.patch_embed(images).flatten(2).mT + self.position
        tokens = torch.cat((self.class_token.expand(len(images), -1, -1), patches), 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class Maker:
    """Makes encoders and keeps the last one."""

    def __call__(self, drop_path: float) -> TinyEncoder:
        self.made = TinyEncoder(drop_path)
        return self.made


def quadrants(train: int = 60, test: int = 40) -> LabelledImages:
    """Return chips whose class is the brightest quadrant; no two alike."""
    rng = torch_stream(0, "images")
    labels = torch.arange(train + test) % 4
    images = 0.3 * torch.rand(train + test, 1, 8, 8, generator=rng)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 0.6
    return images_of(images[:train], labels[:train], images[train:], 4)


@pytest.fixture
def steps() -> Iterator[list[list[dict]]]:
    """Record the groups of every optimiser step."""
    seen: list[list[dict]] = []

    def record(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.append([dict(group) for group in optimizer.param_groups])

    handle = register_optimizer_step_pre_hook(record)
    yield seen
    handle.remove()


@pytest.mark.parametrize("name", RUNS)
def test_the_test_chips_are_seen_once_after_training(name: str, rng: torch.Generator) -> None:
    images, make = quadrants(), Maker()
    settings = replace(QUICK[name], eval_batch=15)
    RUNS[name](make, images, np.arange(60), rng, settings)
    training = [was for was, _ in make.made.shown]
    assert training == [True] * 9 + [False] * 3  # 60 // 16 steps in each of 3 epochs; 40 / 15
    evaluated = torch.cat([shown for was, shown in make.made.shown if not was])
    assert torch.equal(evaluated, images.tests[0])
    trained = torch.cat([shown for was, shown in make.made.shown if was])
    assert not (trained[:, None] == images.tests[0][None]).flatten(2).all(-1).any()


@pytest.mark.parametrize("work", [few_shot, finetune])
def test_one_training_predicts_each_set_of_test_chips_as_if_it_were_the_only_one(work) -> None:
    images, settings = quadrants(), QUICK[work.__name__.rpartition(".")[2]]
    tests = [images.tests[0], images.tests[0].flip(3), images.tests[0].flip(2)]

    def predicted(sets: list[Tensor]) -> list[Predictions]:
        data = LabelledImages(images.train, images.train_labels, sets, images.classes)
        return work.run(Maker(), data, np.arange(60), torch_stream(0, "run"), settings)

    together = predicted(tests)
    for found, test in zip(together, tests, strict=True):
        (alone,) = predicted([test])
        np.testing.assert_array_equal(found.classes, alone.classes)
        np.testing.assert_array_equal(found.scores, alone.scores)
    assert not np.array_equal(together[0].scores, together[1].scores)


@pytest.mark.parametrize("name", RUNS)
def test_only_the_episode_is_trained_on_in_a_new_order_each_epoch(
    name: str, rng: torch.Generator
) -> None:
    images, make = quadrants(), Maker()
    episode = np.arange(1, 60, 3)  # 20 chips: one batch of 16 per epoch
    RUNS[name](make, images, episode, rng, QUICK[name])
    orders = []
    for was_training, shown in make.made.shown:
        if was_training:
            same = (shown[:, None] == images.train[None]).flatten(2).all(-1)
            orders.append(same.int().argmax(1).tolist())
            assert len(set(orders[-1])) == 16
            assert set(orders[-1]) <= set(episode.tolist())
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("name", RUNS)
def test_a_small_episode_makes_one_batch(name: str, rng: torch.Generator) -> None:
    make = Maker()
    RUNS[name](make, quadrants(), np.arange(10), rng, QUICK[name])
    assert [len(shown) for was, shown in make.made.shown if was] == [10] * 3


@pytest.mark.parametrize("name", RUNS)
def test_same_stream_same_numbers_and_the_global_state_has_no_effect(name: str) -> None:
    images, settings = quadrants(), QUICK[name]
    outcomes = []
    for global_draws, seed in ((0, 0), (3, 0), (0, 1)):
        torch.rand(global_draws)
        state = torch.get_rng_state()
        outcomes.append(
            RUNS[name](Maker(), images, np.arange(60), torch_stream(seed, "run"), settings)
        )
        assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(outcomes[0].scores, outcomes[1].scores)
    np.testing.assert_array_equal(outcomes[0].classes, outcomes[1].classes)
    assert not np.array_equal(outcomes[0].scores, outcomes[2].scores)


@pytest.mark.parametrize("name", RUNS)
def test_every_weight_is_trained(name: str, rng: torch.Generator) -> None:
    make, before = Maker(), TinyEncoder()
    RUNS[name](make, quadrants(), np.arange(60), rng, QUICK[name])
    for key, weight in make.made.named_parameters():
        assert not torch.equal(weight, before.get_parameter(key)), key


@pytest.mark.parametrize("name", RUNS)
def test_a_separable_problem_is_solved(name: str, rng: torch.Generator) -> None:
    settings = replace(QUICK[name], epochs=60, lr=1e-2)
    found = RUNS[name](Maker(), quadrants(), np.arange(60), rng, settings)
    np.testing.assert_array_equal(found.classes, np.arange(60, 100) % 4)
    assert np.exp(found.scores.max(1)).min() > 0.5


@pytest.mark.parametrize("name", RUNS)
def test_bf16_differs_from_fp32_by_little(name: str) -> None:
    settings = replace(QUICK[name], epochs=20, lr=1e-2)
    full, half = (
        RUNS[name](
            Maker(),
            quadrants(),
            np.arange(60),
            torch_stream(0, "run"),
            replace(settings, precision=precision),
        )
        for precision in ("fp32", "bf16")
    )
    difference = np.abs(np.exp(full.scores) - np.exp(half.scores)).max(1)
    assert 0 < difference.mean() < 0.05  # single chips move by more on some processors
    assert np.mean(full.classes == half.classes) >= 0.9


@pytest.mark.parametrize("name", RUNS)
def test_a_loss_that_is_not_finite_names_the_epoch(name: str, rng: torch.Generator) -> None:
    def broken(drop_path: float) -> TinyEncoder:
        encoder = TinyEncoder(drop_path)
        nn.init.constant_(encoder.class_token, torch.nan)
        return encoder

    settings = replace(QUICK[name], readout="class")
    with pytest.raises(NotConvergedError, match="not finite in epoch 0 of 3"):
        RUNS[name](broken, quadrants(), np.arange(60), rng, settings)


def test_few_shot_equals_a_plain_loop_of_torch() -> None:
    images, settings = quadrants(), FewShot(epochs=5, batch=16)
    found = run_one(few_shot, Maker(), images, np.arange(50), torch_stream(0, "run"), settings)

    rng = torch_stream(0, "run")
    torch.randint(2**63 - 1, (), generator=rng)  # the seed of the encoder's own draws
    encoder = TinyEncoder().requires_grad_(True)
    head = nn.Linear(12, 4)
    with torch.no_grad():
        head.weight.copy_(2e-5 * torch.randn(4, 12, generator=rng))
        head.bias.zero_()
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *head.parameters()], lr=1e-3, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda e: 0.01 if e < 2 else 0.5 * (1 + np.cos(np.pi * (e - 2) / 5)),
    )
    for _ in range(5):
        order = torch.randperm(50, generator=rng)
        for first in (0, 16, 32):
            rows = order[first : first + 16]
            logits = head(encoder(images.train[rows])[:, 0])
            loss = nn.functional.cross_entropy(logits, images.train_labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    expected = head(encoder(images.tests[0])[:, 0]).softmax(1)
    np.testing.assert_array_equal(found.classes, expected.argmax(1).numpy())
    np.testing.assert_allclose(np.exp(found.scores), expected.detach().numpy(), atol=1e-6)


def test_steps_as_many_as_those_of_all_epochs_give_the_same_numbers() -> None:
    images, chips = quadrants(), np.arange(60)
    one, same, other = (
        run_one(few_shot, Maker(), images, chips, torch_stream(0, "run"), settings)
        for settings in (FewShot(batch=25, steps=steps) for steps in (None, 80, 81))
    )
    np.testing.assert_array_equal(one.scores, same.scores)
    assert (one.scores != other.scores).any()


def test_few_shot_decays_every_weight_and_drops_no_path(
    steps: list[list[dict]], rng: torch.Generator
) -> None:
    make = Maker()
    run_one(few_shot, make, quadrants(), np.arange(60), rng, FewShot(batch=30))
    assert make.made.drop_path == 0
    assert len(steps) == 2 * 40
    for number, (group,) in enumerate(steps):
        assert len(group["params"]) == len(list(make.made.parameters())) + 2
        assert group["weight_decay"] == 5e-4
        assert group["betas"] == (0.9, 0.999)
        assert group["lr"] == pytest.approx(FewShot().lr_at(number // 2))


def test_finetune_lowers_the_rate_layer_by_layer() -> None:
    classifier = Classifier(TinyEncoder(), 4, Finetune(), torch_stream(0, "head"))
    groups = finetune.parameter_groups(classifier, Finetune())
    names = {id(weight): name for name, weight in classifier.named_parameters()}
    scale = {names[id(w)]: group["lr_scale"] for group in groups for w in group["params"]}
    assert len(scale) == len(names)
    for name, expected in {
        "encoder.patch_embed.weight": 0.65**3,
        "encoder.class_token": 0.65**3,
        "encoder.position": 0.65**3,
        "encoder.blocks.0.mix.weight": 0.65**2,
        "encoder.blocks.1.norm.bias": 0.65,
        "encoder.norm.weight": 1,
        "head.weight": 1,
    }.items():
        assert scale[name] == pytest.approx(expected), name
    for group in groups:
        assert {w.ndim > 1 for w in group["params"]} == {group["weight_decay"] == 0.05}
        assert group["weight_decay"] in (0, 0.05)


def test_finetune_steps_along_its_schedule_and_drops_paths(
    steps: list[list[dict]], rng: torch.Generator
) -> None:
    make, settings = Maker(), Finetune(epochs=10, batch=15)
    run_one(finetune, make, quadrants(), np.arange(60), rng, settings)
    assert make.made.drop_path == 0.1
    assert len(steps) == 4 * 10
    for number, groups in enumerate(steps):
        epoch = number / 4
        warmup, cosine = epoch / 5, 0.5 * (1 + np.cos(np.pi * (epoch - 5) / 5))
        rate = 5e-4 * (warmup if epoch < 5 else cosine)
        for group in groups:
            assert group["lr"] == pytest.approx(rate * group["lr_scale"], abs=1e-12)


def test_dropped_paths_are_drawn_from_the_stream() -> None:
    images, settings = quadrants(), replace(QUICK["finetune"], drop_path=0.5)
    with_drop = run_one(finetune, Maker(), images, np.arange(60), torch_stream(0, "run"), settings)
    without = run_one(
        finetune,
        Maker(),
        images,
        np.arange(60),
        torch_stream(0, "run"),
        replace(settings, drop_path=0.0),
    )
    assert not np.array_equal(with_drop.scores, without.scores)


def test_an_encoder_without_blocks_cannot_be_fine_tuned_by_layer(rng: torch.Generator) -> None:
    class Flat(nn.Module):
        has_class_token, width = False, 4

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 4, 4, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.embed(images).flatten(2).mT

    make: Callable[[float], nn.Module] = lambda _: Flat()  # noqa: E731
    with pytest.raises(finetune.NoLayersError, match="layer_numbers"):
        run_one(finetune, make, quadrants(), np.arange(60), rng, QUICK["finetune"])
    run_one(few_shot, make, quadrants(), np.arange(60), rng, QUICK["few_shot"])


@pytest.mark.gpu
@pytest.mark.parametrize("name", RUNS)
def test_a_gpu_sees_the_same_batches_and_leaves_its_global_state_alone(name: str) -> None:
    images, settings = quadrants(), replace(QUICK[name], epochs=20, lr=1e-2, batch=15)
    if name == "finetune":
        settings = replace(settings, drop_path=0.0)  # drawn by the device, so differently
    on_gpu = images_of(
        images.train.cuda(), images.train_labels.cuda(), images.tests[0].cuda(), images.classes
    )
    state = torch.cuda.get_rng_state()
    one, other = (
        RUNS[name](Maker(), data, np.arange(60), torch_stream(0, "run"), settings)
        for data in (images, on_gpu)
    )
    assert torch.equal(torch.cuda.get_rng_state(), state)
    np.testing.assert_allclose(one.scores, other.scores, atol=0.05)  # convolutions run in TF32


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_layers_of_our_encoders_are_those_of_mae(positions: str) -> None:
    """MAE gives layers before the blocks number 0, block i number i + 1, the rest the head's."""
    encoder = Encoder(SIZES["vit_nano"], positions)
    numbers, head = encoder.layer_numbers()
    assert head == 4
    for name, number in numbers.items():
        block = name.split(".")[1] if name.startswith("blocks.") else None
        wanted = int(block) + 1 if block else head if name.startswith("norm.") else 0
        assert number == wanted, name


def test_layers_of_timm_end_below_the_head() -> None:
    encoder = TimmEncoder(TimmConfig("timm:resnet18@64", 64))
    numbers, head = encoder.layer_numbers()
    assert (numbers["model.conv1.weight"], numbers["model.layer4.1.bn2.weight"]) == (0, 8)
    assert head == 9
    with_head = timm.create_model("resnet18", in_chans=1, num_classes=4)
    groups = param_groups_layer_decay(with_head, layer_decay=0.5)
    scales = {id(w): group["lr_scale"] for group in groups for w in group["params"]}
    for name, weight in with_head.named_parameters():
        expected = head if name.startswith("fc.") else numbers[f"model.{name}"]
        assert scales[id(weight)] == 0.5 ** (head - expected), name


def both(
    make: Callable[[float], nn.Module], settings: FewShot, episodes: int = 3
) -> tuple[list, list]:
    """Return what separate runs and one batched run give for some seeds."""
    images = quadrants()
    chosen = [np.random.default_rng(seed).permutation(60)[:40] for seed in range(episodes)]
    apart, together = ([torch_stream(seed, "run") for seed in range(episodes)] for _ in range(2))
    one = [
        few_shot.run(make, images, *given, settings) for given in zip(chosen, apart, strict=True)
    ]
    other = few_shot.run_together(make, images, chosen, together, settings)
    for left, right in zip(apart, together, strict=True):
        assert torch.equal(left.get_state(), right.get_state())
    return one, other


def assert_same(one: list, other: list) -> None:
    for apart, together in zip(one, other, strict=True):
        for left, right in zip(apart, together, strict=True):
            np.testing.assert_allclose(left.scores, right.scores, atol=1e-5)
            np.testing.assert_array_equal(left.classes, right.classes)


class Quiet(TinyEncoder):
    """The encoder without its notes, which cannot be batched."""

    def forward(self, images: Tensor) -> Tensor:
        self.shown = []
        return super().forward(images)


def vit(positions: str) -> Callable[[float], nn.Module]:
    def make(drop_path: float) -> nn.Module:
        encoder = Encoder(EncoderConfig("", 8, 2, 24, 2, 2), positions, drop_path=drop_path)
        initialise(encoder, torch_stream(1, "pretrained"))
        return encoder

    return make


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention on a CPU
@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("absolute", "resnet")),
        "relative",
    ],
)
def test_seeds_trained_as_one_model_equal_separate_runs(monkeypatch, name: str) -> None:
    make = {"tiny": lambda _: Quiet(), "resnet": resnet}.get(name) or vit(name)
    # A CPU may attend in a way of its own, which cannot be batched.
    monkeypatch.setattr(_relative_positions, "BlockedAttention", AnyDevice, raising=False)
    done = []

    def noted(*given):
        done.extend(train_together(*given))
        return list(done)

    monkeypatch.setattr(few_shot, "train_together", noted)
    # In float32 a CPU has ways of its own, and batch normalisation and AdamW enlarge rounding.
    torch.set_default_dtype(torch.float64)
    try:
        one, other = both(make, FewShot(epochs=12, batch=15, lr=5e-3, warmup_epochs=0))
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(one, other)
    assert done == other  # none was trained alone
    assert min(np.ptp(run.scores) for (run,) in one) > 1e-3  # something was learned


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention on a CPU
@pytest.mark.parametrize(
    "positions", [pytest.param("absolute", marks=pytest.mark.slow), "relative"]
)
def test_seeds_are_trained_as_one_model_in_bf16_by_the_attention_of_a_gpu(monkeypatch, positions):
    monkeypatch.setattr(_relative_positions, "plain_attention", _relative_positions.fused_attention)
    images, settings = quadrants(), FewShot(epochs=6, batch=15, lr=5e-3, precision="bf16")
    chosen = [np.random.default_rng(seed).permutation(60)[:40] for seed in range(2)]
    streams = [torch_stream(seed, "run") for seed in range(2)]
    with sdpa_kernel(SDPBackend.MATH):  # a CPU's other one does not train the mask
        found = train_together(vit(positions), images, chosen, streams, settings)
        for seed, (together,) in enumerate(found):
            rng = torch_stream(seed, "run")
            (alone,) = few_shot.run(vit(positions), images, chosen[seed], rng, settings)
            np.testing.assert_allclose(alone.scores, together.scores, atol=0.05)


@pytest.mark.parametrize("steps", [3, 97])
def test_seeds_trained_as_one_model_take_the_given_number_of_steps(steps: int) -> None:
    assert_same(*both(lambda _: Quiet(), FewShot(batch=15, steps=steps)))


def resnet(drop_path: float) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return TimmEncoder(TimmConfig("timm:test_resnet@8", 8))


class Draws(Quiet):
    """An encoder with dropout, which separate runs draw from their own streams."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(images), 0.3, self.training)


def test_an_encoder_that_draws_is_trained_seed_by_seed() -> None:
    one, other = both(lambda _: Draws(), FewShot(epochs=3, batch=15))
    for (apart,), (together,) in zip(one, other, strict=True):
        np.testing.assert_array_equal(apart.scores, together.scores)


def test_fewer_seeds_are_trained_at_once_where_memory_is_short(monkeypatch) -> None:
    sizes = []

    def short_of_memory(make, images, episodes, rngs, settings):
        sizes.append(len(episodes))
        if len(episodes) > 2:
            for rng in rngs:  # a training that has begun
                torch.rand(3, generator=rng)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train_together(make, images, episodes, rngs, settings)

    monkeypatch.setattr(few_shot, "train_together", short_of_memory)
    assert_same(*both(lambda _: Quiet(), FewShot(epochs=3, batch=15), episodes=5))
    assert sizes == [5, 2, 2, 1]


def test_a_seed_that_fails_leaves_the_others_whole() -> None:
    made = []

    def one_is_broken(drop_path: float) -> nn.Module:
        made.append(Quiet(drop_path))
        if len(made) in (2, 5):  # the second seed, together and alone
            nn.init.constant_(made[-1].class_token, torch.nan)
        return made[-1]

    chosen, rngs = [np.arange(40)] * 3, [torch_stream(seed, "run") for seed in range(3)]
    settings = FewShot(epochs=2, batch=15)
    found = few_shot.run_together(one_is_broken, quadrants(), chosen, rngs, settings)
    assert isinstance(found[1], NotConvergedError)
    for seed in (0, 2):
        alone = few_shot.run(
            lambda _: Quiet(), quadrants(), np.arange(40), torch_stream(seed, "run"), settings
        )
        np.testing.assert_array_equal(found[seed][0].scores, alone[0].scores)


@pytest.mark.gpu
@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_trains_seeds_as_one_model(positions: str, precision: str) -> None:
    images = quadrants()
    images = LabelledImages(
        images.train.cuda(), images.train_labels.cuda(), [one.cuda() for one in images.tests], 4
    )
    settings = FewShot(epochs=6, batch=15, lr=5e-3, precision=precision)
    chosen = [np.random.default_rng(seed).permutation(60)[:40] for seed in range(4)]

    def make(drop_path: float) -> nn.Module:
        return vit(positions)(drop_path).cuda()

    found = few_shot.run_together(
        make, images, chosen, [torch_stream(seed, "run") for seed in range(4)], settings
    )
    for seed, (together,) in enumerate(found):
        rng = torch_stream(seed, "run")
        (alone,) = few_shot.run(make, images, chosen[seed], rng, settings)
        np.testing.assert_allclose(alone.scores, together.scores, atol=0.05)
