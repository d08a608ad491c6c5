"""The chip simulator against closed forms of SAR imaging, and the synthetic data set."""

from hashlib import sha256

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.stats
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stores import synthetic_sets

from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.sources import simulator, synthetic
from sarbench.bench.data.sources.simulator import Box, Scatterers
from sarbench.bench.seeding import stream

DIGESTS = {3: "bba644d1f459"}  # of the pixels, by VERSION, which every change of a pixel must raise
WIDE = simulator.CHIP_PX + 2 * simulator.MARGIN_PX


@pytest.fixture(scope="module")
def drawn() -> synthetic.SyntheticSet:
    """The bundled chips in the order in which `generate` draws them."""
    folder = synthetic_sets()
    data, pool = (prepare("synthetic", folder, folder, pool=pool).chips for pool in (False, True))
    place = {str(i): (one, row) for one in (data, pool) for row, i in enumerate(one.ids)}
    counts = {"train": synthetic.TRAIN_PER_CLASS, "test": synthetic.TEST_PER_CLASS}
    counts["pool"] = synthetic.POOL_PER_CLASS
    ids = [f"{v}_{s}_{n:03d}" for v in synthetic.VEHICLES for s in counts for n in range(counts[s])]
    ids += [f"empty_pool_{number:03d}" for number in range(synthetic.POOL_EMPTY)]
    assert sorted(ids) == sorted(place)
    chips = [place[i] for i in ids]
    classes = tuple(synthetic.VEHICLES)
    return synthetic.SyntheticSet(
        pixels=np.stack([one.chip(row) for one, row in chips]),
        labels=np.array([
            classes.index(one.classes[one.labels[row]]) if one is data else -1 for one, row in chips
        ]),
        is_test=np.array([one.is_test[row] for one, row in chips]),
        ids=ids, classes=classes,
    )  # fmt: skip


@pytest.fixture
def numbers() -> np.random.Generator:
    return stream(0, "test synthetic")


def point(forward=0.0, left=0.0, up=0.0, aspect=np.pi, lobe=1.0) -> Scatterers:
    return Scatterers(
        np.array([[forward, left, up]]), np.ones(1), np.array([aspect]), np.array([lobe])
    )


def see(scatterers, azimuth=0.0, place=(0.0, 0.0), slope=0.3, boxes=()) -> np.ndarray:
    """Return the complex image of scatterers on a vehicle."""
    _, ray = simulator.horizon(boxes, azimuth, np.array(place), slope)
    return simulator.render(scatterers, azimuth, np.array(place), slope, ray)


def middle_of(image: np.ndarray) -> tuple[float, float]:
    """Return range and cross-range of the centre of mass of the power, in metres."""
    far, across = simulator.axes_m()
    power = np.abs(image) ** 2
    return float(power.sum(1) @ far / power.sum()), float(power.sum(0) @ across / power.sum())


def spread_at(distance_m: np.ndarray) -> np.ndarray:
    """Return the amplitude of a point's image at some distances from it."""
    return simulator.point_spread(distance_m, np.zeros(1))[:, 0]


def test_the_point_spread_function_is_that_of_a_hamming_window():
    frequency = np.linspace(-0.5, 0.5, 4001)  # of the bandwidth
    window = scipy.signal.windows.hamming(4001)
    # (0.23 / 0.54 and its half power width are stated to four digits, hence the tolerance)
    distance = np.linspace(-1.5, 1.5, 101)
    bandwidth = simulator.HALF_POWER_WIDTH / simulator.RESOLUTION_M
    expected = np.trapezoid(
        window * np.cos(2 * np.pi * frequency * bandwidth * distance[:, None]), frequency
    ) / np.trapezoid(window, frequency)
    np.testing.assert_allclose(spread_at(distance), expected, atol=2e-5)


def test_the_half_power_width_is_the_resolution():
    def excess(distance: float) -> float:
        return float(spread_at(np.array([distance]))[0]) ** 2 - 0.5

    half = scipy.optimize.brentq(excess, 0.01, 0.3)
    assert 2 * half == pytest.approx(simulator.RESOLUTION_M, rel=1e-3)
    beyond = np.abs(spread_at(np.linspace(0.6, 3, 500)))
    assert 20 * np.log10(beyond.max()) == pytest.approx(-42.7, abs=1)  # Harris 1978, table 1: -43


def looks_of(count: int, numbers) -> np.ndarray:
    """Return independent looks of even ground."""
    drawn = [simulator.speckle(np.ones((WIDE, WIDE)), numbers) for _ in range(count)]
    return np.concatenate(drawn)


def test_a_look_at_clutter_has_rayleigh_amplitude(numbers):
    images = looks_of(15, numbers)
    amplitude = np.abs(images)
    assert (amplitude**2).mean() == pytest.approx(1, rel=0.02)
    coefficient = amplitude.std() / amplitude.mean()
    assert coefficient == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.01)  # 0.5227
    apart = images[:, ::8, ::8].ravel()  # beyond the point-spread function: independent
    rayleigh = scipy.stats.kstest(np.abs(apart), scipy.stats.rayleigh(scale=np.sqrt(0.5)).cdf)
    phase = scipy.stats.kstest(np.angle(apart), scipy.stats.uniform(-np.pi, 2 * np.pi).cdf)
    assert rayleigh.pvalue > 0.01
    assert phase.pvalue > 0.01


def test_intensity_over_the_looks_has_its_closed_form(numbers, monkeypatch):
    for name, value in (
        ("TEXTURE_SPREAD", (0, 0)), ("CLUTTER_SPREAD_DB", 0), ("GAIN_SPREAD_DB", 0),
        ("PLACE_ERROR_M", 0), ("HEADING_DEG", (0, 0)),
    ):  # fmt: skip
        monkeypatch.setattr(simulator, name, value)
    bright = Scatterers(np.zeros((1, 3)), np.full(1, 3.0), np.array([np.pi]), np.ones(1))
    images = np.stack([simulator.simulate((), bright, 17.0, numbers) for _ in range(300)])
    power = 1 + simulator.NOISE_POWER  # of the ground and the receiver
    looks = simulator.LOOKS
    ground = images[:60, -16::8, ::8].ravel() ** 2 / power
    gamma = scipy.stats.gamma(looks, scale=1 / looks)
    assert scipy.stats.kstest(ground, gamma.cdf).pvalue > 0.01
    # the point is the same in every look, so it is the centre of a chi-square distribution
    alone = np.abs(see(bright, place=simulator.CENTRE_M, slope=np.tan(np.deg2rad(17)))) ** 2
    row, column = np.unravel_index(alone.argmax(), alone.shape)
    point = images[:, row, column] ** 2 * 2 * looks / power
    expected = scipy.stats.ncx2(2 * looks, 2 * looks * alone.max() / power)
    assert scipy.stats.kstest(point, expected.cdf).pvalue > 0.01


def test_speckle_is_correlated_by_the_point_spread_function(numbers):
    images = looks_of(10, numbers)
    along = np.arange(-40, 41) * simulator.PIXEL_M
    kernel = spread_at(along)
    for lag in (1, 2, 3):
        expected = (kernel[lag:] * kernel[:-lag]).sum() / (kernel**2).sum()
        for one, other in (
            (images[:, lag:], images[:, :-lag]),
            (images[..., lag:], images[..., :-lag]),
        ):
            measured = (one * other.conj()).mean() / (np.abs(images) ** 2).mean()
            assert measured.real == pytest.approx(expected, abs=0.015)
            assert measured.imag == pytest.approx(0, abs=0.015)


def test_texture_keeps_the_level_and_spreads_the_logarithm(numbers):
    fields = np.stack([simulator.ground(2.0, 0.4, numbers) for _ in range(300)])
    assert fields.mean() == pytest.approx(2.0, rel=0.02)
    assert np.log(fields).std() == pytest.approx(0.4, rel=0.03)


@pytest.mark.parametrize("depression_deg", [15.0, 17.0, 30.0, 45.0])
@pytest.mark.parametrize("azimuth", [0.0, 0.5 * np.pi])
def test_a_shadow_is_down_range_and_its_length_is_height_over_tangent(depression_deg, azimuth):
    height, slope = 1.6, np.tan(np.deg2rad(depression_deg))
    box = Box(0.0, 0.0, 0.0, 2.05, 2.05, height)
    surface, ray = simulator.horizon((box,), azimuth, np.array([-4.0, 0.0]), slope)
    dark = (surface == 0) & (ray > 1e-9)
    far, across = simulator.axes_m(simulator.MARGIN_PX)
    rows, columns = np.nonzero(dark)
    assert far[rows].min() > -4.0 + 2.05 / 2 - 1e-9  # begins behind the far wall
    assert np.abs(across[columns]).max() < 2.05 / 2
    length = dark.sum(0).max() * simulator.PIXEL_M
    assert length == pytest.approx(height / slope, abs=1.01 * simulator.PIXEL_M)


def test_the_image_is_dark_in_the_shadow_and_nowhere_else(numbers, monkeypatch):
    monkeypatch.setattr(simulator, "PLACE_ERROR_M", 0.4)
    box = (Box(0.0, 0.0, 0.0, 3.0, 3.0, 1.5),)
    images = np.stack([simulator.simulate(box, None, 17.0, numbers) for _ in range(150)])
    power = (images**2).mean(0)
    far, across = simulator.axes_m()
    rows = {name: int(np.abs(far - m).argmin()) for name, m in (("near", -6), ("shade", 2))}
    column = int(np.abs(across).argmin())
    around = slice(column - 2, column + 3)
    level, gain = (  # means of lognormal factors
        np.exp((np.log(10) / 10 * spread_db) ** 2 / 2)
        for spread_db in (simulator.CLUTTER_SPREAD_DB, simulator.GAIN_SPREAD_DB)
    )
    near, shade = gain * (level + simulator.NOISE_POWER), gain * simulator.NOISE_POWER
    assert power[rows["near"], around].mean() == pytest.approx(near, rel=0.35)
    assert power[rows["shade"], around].mean() == pytest.approx(shade, rel=0.35)


def test_gain_clutter_heading_and_place_are_drawn_from_their_ranges(numbers, monkeypatch):
    seen: list[tuple[float, float, float]] = []

    def watch(boxes, azimuth, place_m, slope):
        seen.append((azimuth, *place_m))
        return horizon(boxes, azimuth, place_m, slope)

    horizon = simulator.horizon
    monkeypatch.setattr(simulator, "horizon", watch)
    monkeypatch.setattr(simulator, "CLUTTER_SPREAD_DB", 0.0)
    images = [simulator.simulate((), None, 17.0, numbers) for _ in range(300)]
    azimuth, *place = np.array(seen).T
    ranges = [(np.rad2deg(azimuth), *simulator.HEADING_DEG)]
    for drawn_m, centre in zip(place, simulator.CENTRE_M, strict=True):
        ranges.append((drawn_m, *(centre + np.array([-1, 1]) * simulator.PLACE_ERROR_M)))
    for drawn_values, low, high in ranges:
        uniform = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(drawn_values, uniform.cdf).pvalue > 0.01
    level_db = [20 * np.log10(np.sqrt((image**2).mean())) for image in images]
    normal = scipy.stats.norm(np.mean(level_db), simulator.GAIN_SPREAD_DB)
    assert scipy.stats.kstest(level_db, normal.cdf).pvalue > 0.01


def test_a_point_appears_at_its_position():
    # azimuth 0 heads down range; a quarter turn heads towards rising columns
    assert middle_of(see(point(forward=2.0, left=0.5))) == pytest.approx((2.0, 0.5), abs=1e-3)
    quarter = see(point(forward=2.0, left=0.5, aspect=np.pi / 2), azimuth=np.pi / 2)
    assert middle_of(quarter) == pytest.approx((-0.5, 2.0), abs=1e-3)
    moved = see(point(), place=(-1.234, 3.21))
    assert middle_of(moved) == pytest.approx((-1.234, 3.21), abs=1e-3)


def test_down_range_is_up():
    image = np.abs(see(point(forward=3.0)))
    row, _ = np.unravel_index(image.argmax(), image.shape)
    assert row < simulator.CHIP_PX / 2 - 10


def test_a_high_point_is_laid_over_towards_the_radar():
    slope = 0.3
    place = middle_of(see(point(up=2.0), slope=slope))
    assert place == pytest.approx((-2.0 * slope, 0), abs=1e-3)


def test_a_point_reflects_towards_its_aspect():
    azimuth, lobe = 0.7, np.deg2rad(20)
    towards = np.pi - azimuth  # direction of the radar, seen from the vehicle
    peak = np.abs(see(point(aspect=towards, lobe=lobe), azimuth)).max()
    aside = np.abs(see(point(aspect=towards + lobe - 2 * np.pi, lobe=lobe), azimuth)).max()
    assert aside / peak == pytest.approx(np.exp(-0.5), rel=1e-9)
    assert not see(point(aspect=towards + np.pi, lobe=lobe), azimuth).any()


def test_a_wall_hides_points_behind_it():
    wall = (Box(-1.0, 0.0, 0.0, 0.4, 4.0, 2.0),)
    assert not see(point(forward=0.5, up=0.5), boxes=wall).any()
    assert see(point(forward=0.5, up=2.0), boxes=wall).any()  # higher than the wall
    assert see(point(forward=-2.0, up=0.5), boxes=wall).any()  # in front of the wall


def test_points_add_coherently():
    # a quarter wavelength of slant range is half a wavelength there and back: they cancel
    slope = 0.3
    quarter = simulator.WAVELENGTH_M / 4 * np.sqrt(1 + slope**2)
    two = [
        Scatterers(
            np.array([[-gap / 2, 0, 0], [gap / 2, 0, 0]]), np.ones(2), np.full(2, np.pi), np.ones(2)
        )
        for gap in (quarter, 2 * quarter)
    ]
    one = np.abs(see(point(), slope=slope)).max()
    assert np.abs(see(two[0], slope=slope)).max() < 0.1 * one
    assert np.abs(see(two[1], slope=slope)).max() == pytest.approx(2 * one, rel=0.01)


def test_pixels_are_the_root_of_the_amplitude_up_to_full_scale():
    amplitude = simulator.FULL_SCALE * np.array([[[0, 0.25, 1.0, 3.0]]])
    assert simulator.quantise(amplitude).tolist() == [[[0, 128, 255, 255]]]


def test_the_set_is_balanced_and_of_one_size(drawn):
    pixels = (simulator.CHIP_PX, simulator.CHIP_PX)
    assert drawn.pixels.shape[1:] == pixels  # so the size does not reveal the class
    assert len(drawn.classes) == 10
    train = ~drawn.is_test & (drawn.labels >= 0)
    assert np.bincount(drawn.labels[train]).tolist() == [synthetic.TRAIN_PER_CLASS] * 10
    assert np.bincount(drawn.labels[drawn.is_test]).tolist() == [synthetic.TEST_PER_CLASS] * 10
    expected = 10 * synthetic.POOL_PER_CLASS + synthetic.POOL_EMPTY
    assert (drawn.labels < 0).sum() == expected
    assert not (drawn.is_test & (drawn.labels < 0)).any()


def test_no_chip_appears_twice(drawn):
    assert len(set(drawn.ids)) == len(drawn.ids) == len(drawn.pixels)
    assert len(np.unique(drawn.pixels.reshape(len(drawn.ids), -1), axis=0)) == len(drawn.ids)


def test_a_pixel_moves_only_with_the_version(drawn):
    digest = sha256(drawn.pixels.tobytes()).hexdigest()
    assert digest.startswith(DIGESTS[synthetic.VERSION])


def test_a_part_holds_the_same_chips_as_the_whole(drawn, monkeypatch):
    monkeypatch.setattr(synthetic, "TRAIN_PER_CLASS", 2)
    monkeypatch.setattr(synthetic, "TEST_PER_CLASS", 1)
    part = synthetic.generate(("train", "test"))
    assert len(part.ids) == 30
    assert not (part.labels < 0).any()
    whole = {name: row for row, name in enumerate(drawn.ids)}
    assert np.array_equal(part.pixels, drawn.pixels[[whole[name] for name in part.ids]])


def test_the_same_stream_draws_the_same_chip_and_another_does_not():
    boxes = synthetic.VEHICLES["bulldozer"]
    scatterers = synthetic.draw_scatterers(boxes, stream(0, "bulldozer"))
    chips = [
        simulator.simulate(boxes, scatterers, 17.0, stream(seed, "chips")) for seed in (0, 0, 1)
    ]
    assert np.array_equal(chips[0], chips[1])
    assert not np.array_equal(chips[0], chips[2])


def score_of(model, features: np.ndarray, drawn: synthetic.SyntheticSet) -> float:
    """Return the test accuracy of a classifier that is fitted on the training chips."""
    train = ~drawn.is_test & (drawn.labels >= 0)
    model.fit(features[train], drawn.labels[train])
    return float(model.score(features[drawn.is_test], drawn.labels[drawn.is_test]))


def nearest_neighbour() -> KNeighborsClassifier:
    return KNeighborsClassifier(1, metric="cosine", algorithm="brute")


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def test_raw_pixels_do_not_win(drawn):
    labelled = np.flatnonzero(drawn.labels >= 0)
    amplitude = drawn.pixels / 255
    raw = score_of(nearest_neighbour(), amplitude.reshape(len(amplitude), -1), drawn)
    assert 0.4 < raw < 0.65
    # magnitudes of the Fourier transform do not depend on the place of the vehicle
    spectrum = np.zeros((len(amplitude), 24 * 12))
    for index in labelled:
        chip = np.log(amplitude[index] + 0.1)
        spectrum[index] = np.abs(np.fft.rfft2(chip - chip.mean()))[:24, :12].ravel()
    assert score_of(logistic(), spectrum, drawn) > raw


def moments(chips: np.ndarray) -> np.ndarray:
    """Return mean, variance and standard deviation of each chip."""
    flat = chips.reshape(len(chips), -1) / 255.0
    return np.stack([flat.mean(1), flat.var(1), flat.std(1)], 1)


def middle_of_light(chips: np.ndarray) -> np.ndarray:
    """Return row and column of the centre of mass of the brightest 2% of each chip's pixels."""
    places = []
    for chip in chips:
        rows, columns = np.nonzero(chip >= np.quantile(chip, 0.98))
        places.append((rows.mean(), columns.mean()))
    return np.array(places)


@pytest.mark.parametrize("features_of", [moments, middle_of_light])
def test_neither_level_nor_place_gives_the_label_away(drawn, features_of):
    features = features_of(drawn.pixels)
    for model in (logistic(), make_pipeline(StandardScaler(), KNeighborsClassifier(15))):
        assert score_of(model, features, drawn) < 0.2


def test_the_ground_does_not_reveal_the_class(drawn):
    border = drawn.pixels[:, :, :8].reshape(len(drawn.ids), -1)  # left of the vehicle
    level = np.stack([border.mean(1), border.std(1)], 1)
    score = score_of(KNeighborsClassifier(5), level, drawn)
    assert score == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / drawn.is_test.sum()))


def test_chips_have_the_statistics_of_mstar(drawn, real_data):
    files = sorted((real_data / "mstar" / "JPEG-e").rglob("17_DEG/**/*.jpeg"))[::40]
    side = simulator.CHIP_PX
    real = []
    for file in files:
        image = np.array(Image.open(file))
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        if min(top, left) >= 0:
            real.append(image[top : top + side, left : left + side])
    ours = 255 * (drawn.pixels[drawn.labels >= 0] / 255.0) ** 2  # MSTAR's images are linear

    def numbers_of(chips: np.ndarray) -> dict[str, float]:
        ground = chips[:, :, :8].astype(float)  # left of the target
        rest = ground - ground.mean((1, 2), keepdims=True)
        return {
            "variation": float((ground.std((1, 2)) / ground.mean((1, 2))).mean()),
            "correlation": float((rest[:, 1:] * rest[:, :-1]).mean() / (rest**2).mean()),
            "saturated": float((chips >= 254).mean()),
        }

    expected, measured = numbers_of(np.stack(real)), numbers_of(ours)
    # MSTAR's chips are one look; the amplitude of L looks has a Nakagami distribution
    one, several = (
        scipy.stats.nakagami(looks).std() / scipy.stats.nakagami(looks).mean()
        for looks in (1, simulator.LOOKS)
    )
    expected["variation"] *= several / one
    assert measured["variation"] == pytest.approx(expected["variation"], abs=0.12)
    assert measured["correlation"] == pytest.approx(expected["correlation"], abs=0.12)
    assert 0.3 < measured["saturated"] / expected["saturated"] < 3
