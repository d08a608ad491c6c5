"""Missing work is estimated from stored timings or a table, and the estimate names its source."""

from collections import Counter
from pathlib import Path

import pytest
from small_grids import METHODS, TEXT, grid_of, make_summary, spread
from stores import provenance

from sarbench import bench
from sarbench.bench.data.pools import published_count
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.plan.cost_estimate import Costs, Estimate
from sarbench.bench.plan.entry import Entry
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.store.records import Store
from sarbench.results.record import PretrainRecord, RunRecord

GRIDS = sorted(Path(bench.__path__[0]).glob("grids/*.toml"))
GRIDS += [
    path for path in sorted((Path(__file__).parents[2] / "docs" / "study").glob("*.toml"))
    if "weights =" not in path.read_text()  # whose files are not in the repository
]  # fmt: skip
SWEPT = TEXT.replace("[pretrain]", "[pretrain]\nepochs = [10, 30]\nwarmup_epochs = 1").replace(
    "20", "2"
)


def plan_of(folder: Path, summary, text: str = SWEPT) -> Plan:
    grid = grid_of(folder, text)
    starts, planned = spread(grid, summary)
    pretrain, entries = [[Entry(one, "new") for one in part] for part in (starts, planned)]
    return Plan(grid, METHODS, pretrain, entries, {})


def set_done(entry: Entry, wall_s: float) -> None:
    """Give an entry a record that says how long it took."""
    run = not hasattr(entry.planned, "axes")
    entry.state = "done"
    entry.record = (RunRecord if run else PretrainRecord).model_construct(
        provenance=provenance(wall_s)
    )


def test_the_time_of_a_pretraining_scales_with_its_images(tmp_path):
    made = plan_of(tmp_path, make_summary())
    short, long = [entry for entry in made.pretrain if entry.planned.method == "mae"]
    set_done(short, 60.0)  # 20 chips, 10 epochs: 0.3 s an image
    costs = Costs(made)
    assert costs.pretraining_s(long.planned) == (180.0, True)
    estimate = costs.missing(made)
    assert (estimate.timings, estimate.unknown) == (1, 0)
    assert estimate.pretrain_h == pytest.approx(180.0 / 3600, rel=1e-3)  # controls take nothing
    assert "1 stored timings" in str(estimate)
    assert str(Estimate(0.0, 0.001, 0, 3)) == (
        "about 1 minute of work (rough estimate: nothing timed yet)"
    )
    assert str(Estimate(0.25, 0.25, 4, 0)) == "about 30 minutes of work (from 4 stored timings)"
    assert str(Estimate(1.0, 0.5, 4, 0)).startswith("about 1.50 hours of one GPU or process are")


def test_the_pass_over_the_chips_counts_once_and_a_run_takes_the_time_of_its_kind(tmp_path):
    made = plan_of(tmp_path, make_summary())
    for entry in made.runs:
        if entry.planned.pretraining.method == "random_init":
            entry.state = "done"
    short, long = [entry.planned for entry in made.pretrain if entry.planned.method == "mae"]
    for entry in made.runs:
        if entry.planned.pretraining is short:  # knn came first and computed the features
            knn = entry.planned.protocol == "knn"
            set_done(entry, 25.0 if knn else 3.0 if entry.planned.shots == 10 else 5.0)
    costs = Costs(made)
    for entry in made.runs:
        if entry.planned.pretraining is long and entry.planned.protocol == "linear":
            expected = 3.0 if entry.planned.shots == 10 else 5.0
            assert costs.run_s(entry.planned) == (expected, True)
    other = [entry for entry in made.runs if entry.planned.pretraining is long]
    rough = sum(costs.run_s(e.planned)[0] for e in other if e.planned.protocol == "knn")
    counts = Counter(entry.planned.protocol for entry in other)
    assert counts == {"linear": 6, "knn": 4}  # knn with all labels draws nothing
    raw = [e for e in made.runs if e.planned.pretraining.method == "raw_pixels"]
    of_raw = sum(costs.run_s(entry.planned)[0] for entry in raw)
    estimate = costs.missing(made)
    # three runs of 3 s, three of 5 s, those of knn from the table, and one pass: 4 x 25 s
    assert estimate.evaluate_h * 3600 == pytest.approx(3 * 3 + 3 * 5 + rough + 4 * 25 + of_raw)


def test_a_machine_that_slept_in_one_run_does_not_move_the_estimate(tmp_path):
    made = plan_of(tmp_path, make_summary())
    short, long = [entry for entry in made.pretrain if entry.planned.method == "mae"]
    set_done(short, 10.0)
    few = [e for e in made.runs if e.planned.pretraining is short.planned and e.planned.shots == 10]
    for entry in few:
        linear = entry.planned.protocol == "linear"
        set_done(entry, 3600.0 if linear and entry.planned.seed == 0 else 3.0 if linear else 9000.0)
    other = next(
        e.planned for e in made.runs if e.planned.pretraining is long.planned
        and (e.planned.protocol, e.planned.shots) == ("linear", 10)
    )  # fmt: skip
    assert Costs(made).run_s(other) == (3.0, True)


def test_a_pretraining_of_another_encoder_takes_its_share_of_the_work(tmp_path):
    """`vit_nano@80` has 100 of 196 patches."""
    text = TEXT.replace('"vit_nano"', '["vit_nano", "vit_nano@80"]')
    made = plan_of(tmp_path, make_summary(), text)
    large, small = [entry for entry in made.pretrain if entry.planned.method == "mae"]
    set_done(large, 98.0)
    seconds, measured = Costs(made).pretraining_s(small.planned)
    assert (seconds, measured) == (pytest.approx(50.0), True)


def test_a_timed_run_takes_longer_with_more_epochs(tmp_path):
    swept = "linear = { shots = [10], settings = { epochs = [20, 40] } }"
    made = plan_of(tmp_path, make_summary(), TEXT.replace('linear = [10, "all"]', swept))
    runs = [e for e in made.runs if e.planned.protocol == "linear"]
    mae = [e for e in runs if e.planned.pretraining.method == "mae"]
    short, long = (
        [e for e in mae if e.planned.settings["epochs"] == epochs] for epochs in (20, 40)
    )
    for entry in made.runs:
        if entry.planned.protocol == "knn":
            set_done(entry, 50.0)
    for entry in short:
        set_done(entry, 2.0)
    assert Costs(made).run_s(long[0].planned) == (pytest.approx(4.0), True)


def test_conditions_share_the_time_of_a_head_in_the_table(tmp_path):
    clean, shifted = (
        Costs(made := plan_of(tmp_path, make_summary(), text)).missing(made)
        for text in (
            SWEPT,
            SWEPT.replace("seeds = 3", 'seeds = 3\nconditions = ["clean", "shift:4"]'),
        )
    )
    assert shifted.evaluate_h == pytest.approx(clean.evaluate_h)
    assert shifted.rough == 2 * clean.rough - 2  # two pretrainings, each run twice
    assert "one head predicts under all 2 conditions, so a run" in shifted.assumption
    assert clean.assumption == ""


def test_a_pretraining_of_unknown_size_is_reported_and_not_counted(tmp_path):
    text = SWEPT.replace("[pretrain]", '[pretrain]\npool = ["synthetic", "folder:elsewhere"]')
    said = str(Costs(made := plan_of(tmp_path, None, text)).missing(made))
    assert "nothing timed yet" in said
    assert "(0.00 pretraining" in said
    assert "without 2 pretrainings whose pool or recipe is not known" in said


@pytest.mark.parametrize(
    ("name", "chips", "trainings"),
    [pytest.param("paper", 94_776 * 200, 21, marks=pytest.mark.slow),
     ("paper_scaling_data", 94_776 * 200 * (0.4 + 0.7 + 1.0), 3)],
)  # fmt: skip
def test_a_pool_that_is_not_prepared_has_its_published_size(tmp_path, name, chips, trainings):
    """The paper's pool is 28,499 + 39,729 + 21,168 + 5,380 chips; the table has 1,500 a second."""
    made = make_plan(read_grid(Path(name)), Store(tmp_path), tmp_path)
    estimate = Costs(made).missing(made)
    each = chips / 1500 / 3600
    assert estimate.pretrain_h == pytest.approx(
        each * (trainings if name == "paper" else 1), rel=1e-4
    )
    assert (estimate.published, estimate.unknown) == (trainings, 0)
    assert f"{trainings} pretrainings by the published size of their pool" in str(estimate)


def test_a_cap_and_a_state_shorten_a_pretraining_of_published_size(tmp_path):
    text = (
        SWEPT.replace("epochs = [10, 30]", "epochs = 10\npool_cap = 50")
        .replace("seeds = 3", "seeds = 3\nat = [0.5, 1.0]")
        .replace("[pretrain]", '[pretrain]\npool = ["sample"]')
    )
    made = plan_of(tmp_path, None, text)
    half, whole = [one.planned for one in made.pretrain if one.planned.method == "mae"]
    costs = Costs(made)
    assert costs.pretraining_s(whole)[0] == pytest.approx(50 * 10 / 400, rel=1e-6)
    assert costs.pretraining_s(half)[0] == pytest.approx(25 * 10 / 400, rel=1e-6)
    assert costs.missing(made).published == 1  # the whole training writes the half on its way


@pytest.mark.parametrize(
    ("pool", "count"),
    [
        (["msar"], 28_499),
        (["synthetic"], 2_100),
        (["mstar_soc:train"], 2_747),
        (["folder:somewhere"], None),
        (["msar", "folder:somewhere"], None),
    ],
)
def test_the_published_size_of_a_pool_is_that_of_its_cards(pool, count):
    assert published_count(pool) == count


QUICK = ("demo", "real_small")  # the others have the same methods


@pytest.mark.parametrize("path", [
    pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in GRIDS
])  # fmt: skip
def test_every_grid_of_ours_can_be_planned(path, tmp_path):
    made = make_plan(read_grid(path), Store(tmp_path), tmp_path)
    assert made.runs
    assert {entry.state for entry in (*made.pretrain, *made.runs)} == {"new"}


def test_the_estimate_of_runs_does_not_depend_on_prepared_data(tmp_path):
    estimates = [Costs(made).missing(made) for made in (
        plan_of(tmp_path, make_summary()), plan_of(tmp_path, None)
    )]  # fmt: skip
    assert estimates[0].evaluate_h > 0
    assert estimates[1].evaluate_h == pytest.approx(estimates[0].evaluate_h)


@pytest.mark.parametrize(
    ("encoder", "images_per_s"),
    [
        ("vit_nano", 400.0),
        ("vit_nano@80", 400.0 * 14**2 / 10**2),  # 100 of 196 patches
        ("vit:128x4x4@112/8", 400.0 * 3 / 4 / 2**2),  # 4 blocks of 3, twice as wide
        ("vit_base@112", 3500.0),  # the work of vit_small: half as wide, four times the patches
        ("timm:resnet18", 1500.0),
    ],
)
def test_an_encoder_that_is_not_in_the_table_takes_its_share_of_the_nearest_one(
    tmp_path, encoder, images_per_s
):
    made = plan_of(tmp_path, make_summary(), TEXT.replace("vit_nano", encoder))
    (start,) = [one.planned for one in made.pretrain if one.planned.method == "mae"]
    images = start.identity.pool_count * start.identity.recipe["epochs"]
    seconds, measured = Costs(made).pretraining_s(start)
    assert (images / seconds, measured) == (pytest.approx(images_per_s), False)


def test_a_run_with_other_epochs_than_the_protocol_takes_their_share(tmp_path):
    seconds = []
    for epochs in (40, 10):
        linear = f'linear = {{ shots = [10, "all"], settings = {{ epochs = {epochs} }} }}'
        text = TEXT.replace('linear = [10, "all"]', linear)
        made = plan_of(tmp_path, make_summary(), text)
        costs = Costs(made)
        seconds.append([
            costs.run_s(e.planned)[0] for e in made.runs if e.planned.protocol == "linear"
        ])  # fmt: skip
    assert seconds[0] == pytest.approx([4 * one for one in seconds[1]])
