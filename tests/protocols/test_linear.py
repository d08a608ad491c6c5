import numpy as np
import pytest
import torch
from one_test_set import features_of, run_all
from torch import nn

from sarbench.bench.seeding import torch_stream
from sarbench.protocols import linear
from sarbench.protocols._settings import Linear
from sarbench.protocols._training import batches, head_weight
from sarbench.protocols._types import BadFeaturesError, Features, NotConvergedError

SETTINGS = Linear(epochs=6, batch=12)


def made_up(width: int = 16, classes: int = 3, noise: float = 1.0) -> Features:
    rng = torch_stream(0, "features")
    centres = torch.randn(classes, width, generator=rng)
    labels, test_labels = torch.arange(90) % classes, torch.arange(60) % classes
    train = centres[labels] + noise * torch.randn(90, width, generator=rng)
    test = centres[test_labels] + noise * torch.randn(60, width, generator=rng)
    return features_of(3 + 2 * train, labels, 3 + 2 * test, classes)


def episodes(sizes: list[int]) -> list[np.ndarray]:
    return [np.random.default_rng(i).permutation(90)[:size] for i, size in enumerate(sizes)]


def streams(count: int) -> list[torch.Generator]:
    return [torch_stream(index, "run") for index in range(count)]


def one_by_one(
    features: Features, episode: np.ndarray, rng: torch.Generator, settings: Linear
) -> tuple[nn.Sequential, np.ndarray]:
    """Train one head by torch's modules and optimiser; return it and its predicted classes."""
    width = features.train.shape[1]
    model = nn.Sequential(
        nn.BatchNorm1d(width, eps=1e-6, momentum=0.1, affine=False),
        nn.Linear(width, features.classes),
    )
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(features.classes, width, generator=rng) * 0.01)
        model[1].bias.zero_()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.999), weight_decay=5e-4)
    x, y = features.train[episode], features.train_labels[episode]
    for epoch in range(settings.epochs):
        optimizer.param_groups[0]["lr"] = settings.lr_at(epoch)
        order = torch.randperm(len(x), generator=rng)
        drop_last = len(x) >= settings.batch
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x[order], y[order]),
            batch_size=settings.batch,
            drop_last=drop_last,
        )
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    model.eval()
    return model, model(features.tests[0]).argmax(1).numpy()


def test_all_runs_together_equal_training_them_one_by_one() -> None:
    features = made_up()
    runs = episodes([30, 7, 30, 90, 30, 7, 13])  # below, above and at no multiple of the batch
    together = run_all(linear, features, runs, streams(len(runs)), SETTINGS)
    for episode, rng, predictions in zip(runs, streams(len(runs)), together, strict=True):
        model, classes = one_by_one(features, episode, rng, SETTINGS)
        np.testing.assert_array_equal(predictions.classes, classes)
        probability = model(features.tests[0]).softmax(1).detach().numpy()
        np.testing.assert_allclose(np.exp(predictions.scores), probability, atol=1e-5)


def test_weights_and_running_statistics_equal_those_of_torch_modules() -> None:
    features, settings = made_up(), Linear(batch=20)  # all 40 epochs
    runs = episodes([30, 30, 30])
    support = torch.from_numpy(np.stack(runs))
    heads = linear._train(features, support, streams(3), settings)
    for index, (episode, rng) in enumerate(zip(runs, streams(3), strict=True)):
        norm, head = one_by_one(features, episode, rng, settings)[0]
        close = {"atol": 1e-5, "rtol": 0}
        torch.testing.assert_close(heads.weight[index], head.weight.detach(), **close)
        torch.testing.assert_close(heads.bias[index, :, 0], head.bias.detach(), **close)
        torch.testing.assert_close(heads.mean[index], norm.running_mean, **close)
        torch.testing.assert_close(heads.variance[index], norm.running_var, rtol=1e-5, atol=0)


def test_a_run_does_not_depend_on_runs_trained_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    features, runs = made_up(), episodes([30, 30, 30, 30])
    together = run_all(linear, features, runs, streams(4), SETTINGS)
    monkeypatch.setattr(linear, "CHUNK_VALUES", 1)  # every run alone, test chips one by one
    for one, other in zip(
        run_all(linear, features, runs, streams(4), SETTINGS), together, strict=True
    ):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_linear_takes_the_given_number_of_steps() -> None:
    features, runs = made_up(), episodes([60, 60])
    one, same, other = (
        run_all(linear, features, runs, streams(2), Linear(batch=25, steps=steps))
        for steps in (None, 80, 81)  # 2 steps in each of 40 epochs
    )
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first.scores, second.scores)
        assert (first.scores != third.scores).any()


def test_same_stream_same_numbers_and_another_stream_others() -> None:
    features, runs = made_up(), episodes([30]) * 2
    first, second = run_all(linear, features, runs, streams(2), SETTINGS)
    again = run_all(linear, features, runs[:1], streams(1), SETTINGS)[0]
    np.testing.assert_array_equal(first.scores, again.scores)
    assert not np.array_equal(first.scores, second.scores)


def test_the_papers_settings_solve_a_separable_problem() -> None:
    features = made_up(noise=0.1)
    (predictions,) = run_all(linear, features, [np.arange(90)], streams(1), Linear())
    np.testing.assert_array_equal(predictions.classes, np.arange(60) % 3)


def test_a_constant_feature_is_harmless() -> None:
    features = made_up(noise=0.1)
    features.train[:, 0] = features.tests[0][:, 0] = 0.25
    (predictions,) = run_all(linear, features, [np.arange(90)], streams(1), Linear())
    np.testing.assert_array_equal(predictions.classes, np.arange(60) % 3)


def test_the_features_and_the_global_random_state_are_left_alone() -> None:
    features = made_up()
    before, state = features.train.clone(), torch.get_rng_state()
    run_all(linear, features, episodes([30]), streams(1), SETTINGS)
    torch.testing.assert_close(features.train, before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("chips", "batch"), [(1, 50), (30, 1)])
def test_a_batch_of_one_chip_is_refused(chips: int, batch: int) -> None:
    with pytest.raises(BadFeaturesError, match=f"got {chips} chips and batches of {batch}"):
        run_all(linear, made_up(), episodes([chips]), streams(1), Linear(batch=batch))


def test_a_head_that_diverges_is_an_error() -> None:
    with pytest.raises(NotConvergedError, match="diverged"):
        run_all(linear, made_up(), episodes([30]), streams(1), Linear(lr=1e35, warmup_lr=1e35))


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(100, [50, 50]), (120, [50, 50]), (50, [50]), (49, [49]), (7, [7])],
)
def test_the_last_incomplete_batch_is_dropped_only_where_one_is_full(
    size: int, sizes: list[int], rng: torch.Generator
) -> None:
    parts = batches(size, 50, rng)
    assert [len(part) for part in parts] == sizes
    assert len(set(torch.cat(parts).tolist())) == sum(sizes)  # no chip twice


def test_every_epoch_has_an_order_of_its_own(rng: torch.Generator) -> None:
    one, other = batches(100, 50, rng), batches(100, 50, rng)
    assert not torch.equal(torch.cat(one), torch.cat(other))


@pytest.mark.parametrize("std", [0.01, 2e-5])
def test_the_initial_head_is_normal_without_outliers(std: float, rng: torch.Generator) -> None:
    from scipy.stats import kstest

    drawn = head_weight((100, 500), std, rng).flatten().numpy()
    assert kstest(drawn / std, "norm").pvalue > 0.001
    assert np.abs(drawn).max() < 6 * std


@pytest.mark.gpu
def test_a_gpu_trains_the_same_heads() -> None:
    features, runs = made_up(), episodes([30, 90])
    on_gpu = features_of(
        features.train.cuda(),
        features.train_labels.cuda(),
        features.tests[0].cuda(),
        features.classes,
    )
    for one, other in zip(
        run_all(linear, features, runs, streams(2), SETTINGS),
        run_all(linear, on_gpu, runs, streams(2), SETTINGS),
        strict=True,
    ):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
