import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from one_test_set import features_of, run_all
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from sarbench.bench.identity import fill, to_json
from sarbench.bench.seeding import torch_stream
from sarbench.protocols import knn
from sarbench.protocols._settings import KNN
from sarbench.protocols._support_sets import support_set
from sarbench.protocols._types import Features
from sarbench.protocols._whitening import whitened


def made_up(width: int = 8, train: int = 200, test: int = 600, classes: int = 5) -> Features:
    rng = torch_stream(0, "features")
    centres = 0.5 * torch.randn(classes, width, generator=rng)
    labels = torch.arange(train) % classes
    return features_of(
        centres[labels] + torch.randn(train, width, generator=rng),
        labels,
        centres[torch.arange(test) % classes] + torch.randn(test, width, generator=rng),
        classes,
    )


def by_sklearn(features: Features, episode: np.ndarray, neighbours: int = 1) -> np.ndarray:
    model = KNeighborsClassifier(neighbours, metric="cosine", algorithm="brute")
    model.fit(features.train[episode].numpy(), features.train_labels[episode].numpy())
    return model.predict(features.tests[0].numpy())


def test_one_neighbour_equals_scikit_learn() -> None:
    features = made_up()
    episodes = [np.arange(200), np.arange(0, 200, 2), np.arange(13)]
    for episode, found in zip(episodes, run_all(knn, features, episodes, [], KNN()), strict=True):
        np.testing.assert_array_equal(found.classes, by_sklearn(features, episode))


@pytest.mark.parametrize("neighbours", [3, 10])
def test_a_vote_without_ties_equals_scikit_learn(neighbours: int) -> None:
    features, episode = made_up(), np.arange(200)
    (found,) = run_all(knn, features, [episode], [], KNN(neighbours=neighbours))
    expected = by_sklearn(features, episode, neighbours)
    train = torch.nn.functional.normalize(features.train)
    nearest = (torch.nn.functional.normalize(features.tests[0]) @ train.T).topk(neighbours).indices
    counts = np.stack([np.bincount(row, minlength=5) for row in features.train_labels[nearest]])
    clear = (counts == counts.max(1, keepdims=True)).sum(1) == 1
    assert 0.3 < clear.mean() < 1
    np.testing.assert_array_equal(found.classes[clear], expected[clear])


@pytest.mark.parametrize("neighbours", [1, 3])
def test_scores_are_distances_to_the_nearest_chips_of_each_class(neighbours: int) -> None:
    features = made_up()
    (found,) = run_all(knn, features, [np.arange(200)], [], KNN(neighbours=neighbours))
    train, test = features.train.double().numpy(), features.tests[0].double().numpy()
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    test /= np.linalg.norm(test, axis=1, keepdims=True)
    expected = np.stack([
        -np.sort(cdist(test, train[label::5]), axis=1)[:, :neighbours].mean(1) for label in range(5)
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)


def test_with_one_neighbour_the_predicted_class_has_the_best_score() -> None:
    for features in (made_up(), collapsed()):
        every = np.arange(len(features.train))
        (found,) = run_all(knn, features, [every], [], KNN())
        np.testing.assert_array_equal(found.classes, found.scores.argmax(1))


def test_scores_of_a_nearly_collapsed_encoder_keep_their_order_in_half_precision() -> None:
    (found,) = run_all(knn, collapsed(), [np.arange(300)], [], KNN())
    half = found.scores.astype(np.float16)
    assert np.mean(half.argmax(1) == found.classes) > 0.98
    similarity = 1 - found.scores.astype(np.float64) ** 2 / 2
    assert np.mean((similarity - 1).astype(np.float16).argmax(1) == found.classes) < 0.5


def test_a_class_without_labelled_chips_has_the_lowest_score() -> None:
    features = features_of(on_circle([10, 20]), torch.tensor([2, 0]), on_circle([0, 180]), 3)
    (found,) = run_all(knn, features, [np.arange(2)], [], KNN(neighbours=2))
    expected = [-2 * np.sin(np.deg2rad([10, 90, 5])), -2 * np.sin(np.deg2rad([80, 90, 85]))]
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)


def collapsed() -> Features:
    """Return features whose similarities differ by less than the rounding of single precision."""
    rng = torch_stream(0, "collapsed")
    centre = torch.rand(1, 64, generator=rng)
    train, test = (centre + 3e-4 * torch.randn(n, 64, generator=rng) for n in (300, 200))
    return features_of(train, torch.arange(300) % 10, test, 10)


@pytest.mark.parametrize("neighbours", [1, 3])
def test_a_nearly_collapsed_encoder_is_compared_in_double_precision(neighbours: int) -> None:
    features = collapsed()
    (found,) = run_all(knn, features, [np.arange(300)], [], KNN(neighbours=neighbours))
    train, test = features.train.double().numpy(), features.tests[0].double().numpy()
    cosines = test @ train.T
    cosines /= np.linalg.norm(test, axis=1)[:, None] * np.linalg.norm(train, axis=1)
    ordered = np.sort(cosines, axis=1)
    assert np.median(ordered[:, -1] - ordered[:, -2]) < 1e-8 < 2.0**-24
    expected = []
    for row in cosines:
        nearest = np.argsort(-row)[:neighbours]
        count, total = np.zeros(10), np.zeros(10)
        np.add.at(count, nearest % 10, 1)
        np.add.at(total, nearest % 10, row[nearest])
        expected.append(np.where(count == count.max(), total, -np.inf).argmax())
    np.testing.assert_array_equal(found.classes, expected)


def test_equal_chips_are_equally_near_at_any_place_of_a_large_set() -> None:
    # A matrix product sums the columns at its edge in another order.
    rng = torch_stream(0, "equal")
    train = torch.rand(1, 300, generator=rng).repeat(2747, 1)
    labels = (torch.arange(2747) < 2700).long()
    features = features_of(train, labels, torch.rand(300, 300, generator=rng), 2)
    (found,) = run_all(knn, features, [np.arange(2747)], [], KNN())
    assert (found.classes == 1).all()  # 2,700 of 2,747 votes


def on_circle(degrees: list[float]) -> torch.Tensor:
    radians = torch.deg2rad(torch.tensor(degrees))
    return torch.stack((radians.cos(), radians.sin()), 1)


def test_a_tied_vote_goes_to_the_nearer_class() -> None:
    # Two votes each: class 0 at 20 and 30 degrees, class 1 at 5 and 40. By hand:
    # cos 20 + cos 30 = 1.8057, cos 5 + cos 40 = 1.7622.
    features = features_of(
        on_circle([5, 40, 20, 30]), torch.tensor([1, 1, 0, 0]), on_circle([0]), 2
    )
    (found,) = run_all(knn, features, [np.arange(4)], [], KNN(neighbours=4))
    assert found.classes[0] == 0
    # The mean distances are 2 sin 10 and 2 sin 15, against 2 sin 2.5 and 2 sin 20 degrees.
    np.testing.assert_allclose(found.scores, [[-0.43247, -0.38564]], atol=1e-4)


def test_a_vote_that_is_tied_in_every_way_goes_to_the_lower_class() -> None:
    train = torch.tensor([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
    features = features_of(train, torch.tensor([2, 1, 0]), torch.tensor([[3.0, 0.0]]), 3)
    (found,) = run_all(knn, features, [np.array([0, 1, 2])], [], KNN(neighbours=3))
    assert found.classes[0] == 0


def test_the_majority_beats_the_nearest() -> None:
    features = features_of(on_circle([1, 30, 40]), torch.tensor([0, 1, 1]), on_circle([0]), 2)
    (found,) = run_all(knn, features, [np.arange(3)], [], KNN(neighbours=3))
    assert found.classes[0] == 1


def test_only_the_set_counts_and_not_its_order() -> None:
    features = made_up()
    features.train[7] = features.train[100]  # equally near, of different classes
    features.tests[0][0] = features.train[7]
    order = np.random.default_rng(0).permutation(200)
    one, other = run_all(knn, features, [np.arange(200), order], [], KNN())
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.classes[0] == min(7 % 5, 100 % 5)  # one vote each: the lower class


def test_chips_as_near_as_the_last_neighbour_all_vote() -> None:
    # At 10 degrees class 0; at 20 one chip of class 1 and two of class 2, exactly alike.
    features = features_of(
        on_circle([10, 20, 20, 20]), torch.tensor([0, 1, 2, 2]), on_circle([0, 20]), 3
    )
    one, two = (run_all(knn, features, [np.arange(4)], [], KNN(neighbours=k))[0] for k in (1, 2))
    np.testing.assert_array_equal(one.classes, [0, 2])
    np.testing.assert_array_equal(two.classes, [2, 2])


def test_many_equal_votes_go_to_the_lower_class() -> None:
    train = torch.rand(1, 8, generator=torch_stream(0, "chip")).repeat(70, 1)
    features = features_of(train, torch.arange(70) % 7, train[:1], 7)
    (found,) = run_all(knn, features, [np.arange(70)], [], KNN())
    assert found.classes[0] == 0


def test_a_zero_feature_is_similar_to_nothing() -> None:
    train = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    test = torch.tensor([[2.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    features = features_of(train, torch.tensor([0, 1]), test, 2)
    (found,) = run_all(knn, features, [np.arange(2)], [], KNN())
    np.testing.assert_array_equal(found.classes, [1, 0, 0])
    similarity = np.array([[0, 2 / np.sqrt(5)], [0, -1], [0, 0]])
    np.testing.assert_allclose(found.scores, -np.sqrt(2 - 2 * similarity), rtol=1e-6)


def test_more_neighbours_than_chips_are_refused() -> None:
    with pytest.raises(knn.TooManyNeighboursError, match=r"neighbours is 6, .* 5 labelled"):
        run_all(knn, made_up(), [np.arange(5)], [], KNN(neighbours=6))


def correlated(width: int, train: int) -> Features:
    """Return features far from 0 whose deviations range from 5 to 0.05."""
    features = made_up(width, train)
    mix = torch.randn(width, width, generator=torch_stream(1, "mix")) / width**0.5
    mix = mix * torch.logspace(0.7, -1.3, width)
    return features_of(
        features.train @ mix + 3,
        features.train_labels,
        features.tests[0] @ mix + 3,
        features.classes,
    )


@pytest.mark.parametrize("width", [8, 300])  # fewer and more values than the 200 training chips
def test_whitened_features_are_those_of_scikit_learn_up_to_signs(width: int) -> None:
    features = correlated(width, 200)
    white = whitened(features)
    train, test = white.train, white.tests[0]
    kept = min(width, 199)
    model = PCA(kept, whiten=True, svd_solver="full").fit(features.train.double().numpy())
    for found, part in ((train, features.train), (test, features.tests[0])):
        expected = model.transform(part.double().numpy())[:, ::-1]
        found = found.numpy() * np.sign((found.numpy() * expected).sum(0))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.cov(train.numpy().T), np.eye(kept), atol=1e-9)


def test_whitening_is_fitted_on_all_training_chips_and_no_test_chip() -> None:
    features = correlated(8, 200)
    episodes = [np.arange(200), np.arange(0, 200, 9)]
    found = run_all(knn, features, episodes, [], KNN(whiten=True))
    model = PCA(whiten=True).fit(features.train.double().numpy())
    white = features_of(
        torch.from_numpy(model.transform(features.train.double().numpy())),
        features.train_labels,
        torch.from_numpy(model.transform(features.tests[0].double().numpy())),
        5,
    )
    for episode, one in zip(episodes, found, strict=True):
        np.testing.assert_array_equal(one.classes, by_sklearn(white, episode))
    plain = run_all(knn, features, episodes, [], KNN())
    assert all(
        (one.classes != other.classes).any() for one, other in zip(found, plain, strict=True)
    )
    half = features_of(features.train, features.train_labels, features.tests[0][::2], 5)
    (fewer,) = run_all(knn, half, episodes[:1], [], KNN(whiten=True))
    np.testing.assert_array_equal(fewer.classes, found[0].classes[::2])


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_directions_that_are_only_rounding_are_left_out(scale: float) -> None:
    train = scale * correlated(8, 200).train
    more = torch.cat([train, train @ torch.ones(8, 2) / 3], dim=1)  # sums of the others
    variances = np.linalg.eigvalsh(np.cov(more.double().numpy().T))
    assert (variances[:2] > 0).any()  # rounding of single precision
    assert variances[2] > 1e3 * variances[1]
    features = features_of(more, torch.zeros(200, dtype=torch.int64), more[:1], 1)
    assert whitened(features).train.shape == (200, 8)


def test_equal_chips_are_equally_near_after_whitening() -> None:
    chips = torch.ones(7, 4)
    features = features_of(chips, torch.tensor([0, 1, 1, 2, 0, 1, 1]), chips[:2], 3)
    assert whitened(features).tests[0].tolist() == [[0], [0]]
    (found,) = run_all(knn, features, [np.arange(7)], [], KNN(whiten=True))
    np.testing.assert_array_equal(found.classes, [1, 1])
    np.testing.assert_allclose(found.scores, np.full((2, 3), -np.sqrt(2)), rtol=1e-6)


def test_whiten_changes_a_key_only_if_it_is_true() -> None:
    defaults = to_json(KNN())
    assert fill(defaults, {}) == fill(defaults, {"whiten": False})
    assert "whiten" not in fill(defaults, {})
    assert fill(defaults, {"whiten": True})["whiten"] is True


@pytest.fixture(scope="module")
def mstar(real_data: Path) -> tuple[Features, np.ndarray, list[str]]:
    """Return the centre 128 pixels of the single-serial SOC split, test labels and training ids."""
    folder = real_data / "mstar"
    with (folder / "splits" / "soc_single_serial.csv").open() as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: row["path"])
    names = sorted({row["class"] for row in rows})
    pixels = np.empty((len(rows), 128 * 128), dtype=np.float32)
    for index, row in enumerate(rows):
        with Image.open(folder / "JPEG-e" / row["path"]) as image:
            chip = np.asarray(image, dtype=np.float32) / 255
        top, left = (chip.shape[0] - 128) // 2, (chip.shape[1] - 128) // 2
        pixels[index] = chip[top : top + 128, left : left + 128].ravel()
    is_test = np.array([row["split"] == "TEST" for row in rows])
    labels = np.array([names.index(row["class"]) for row in rows])
    train, test = torch.from_numpy(pixels[~is_test]), torch.from_numpy(pixels[is_test])
    ids = [row["path"] for row in rows if row["split"] == "TRAIN"]
    return features_of(train, torch.from_numpy(labels[~is_test]), test, 10), labels[is_test], ids


@pytest.mark.slow
def test_real_pixels_score_as_under_scikit_learn(
    mstar: tuple[Features, np.ndarray, list[str]],
) -> None:
    features, test_labels, ids = mstar
    assert (len(features.train), len(features.tests[0])) == (2747, 2425)
    train_labels = features.train_labels.numpy()
    episodes = [support_set("real", 0, ids, train_labels, shots) for shots in (10, "all")]
    for episode, found in zip(episodes, run_all(knn, features, episodes, [], KNN()), strict=True):
        expected = (by_sklearn(features, episode) == test_labels).mean()
        assert (found.classes == test_labels).mean() == pytest.approx(expected, abs=1e-3)
    assert (found.classes == test_labels).mean() == pytest.approx(0.977, abs=1e-3)  # issue 2
