"""Scores over the compute of the pretraining: values, lines, controls and left-out rows."""

import json
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from chips import write_pool
from commands import Sarbench, call_here
from drawings import outside
from matplotlib.colors import to_hex
from matplotlib.text import Text
from stores import fill, pooled_grid, pretrain_record, share

from sarbench.bench.grid.schema import read_grid
from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting.compute_figure import compute_figures
from sarbench.bench.reporting.leaderboard import leaderboard
from sarbench.bench.reporting.named_figure import main_column
from sarbench.bench.store.archive import unpacked
from sarbench.bench.store.progress import steps_of
from sarbench.bench.store.records import Store
from sarbench.results.figures.compute import Trained, compute_figure, spread
from sarbench.results.figures.gains import Measured
from sarbench.results.figures.style import COLOURS
from sarbench.results.record import Architecture
from sarbench.results.scores import Column

ARCHIVE = Path(__file__).parent.parent / "readme" / "small.zip"
EPOCHS, SIZES = (1, 4, 16), ("vit_nano", "vit:64x3x2@80/8")
SWEPT = pooled_grid("swept", ["mae", "lomar"]).replace(
    'encoder = "vit_nano"',
    f"encoder = {json.dumps(SIZES)}\nepochs = {list(EPOCHS)}\nwarmup_epochs = 0.5",
)
GFLOP = {"vit_nano": 0.5, "vit:64x3x2@80/8": 0.25}


def trained(method, tflop, mean, variant=""):
    return Trained(Measured(f"{method}, {tflop}", tflop, mean), method, variant)


def lines_in(axes):
    return [container.lines[0] for container in axes.containers]


def points(line):
    return [(float(x), float(y)) for x, y in line.get_xydata()]


def test_the_epochs_of_a_method_and_size_are_a_line_in_order_of_compute():
    rows = [
        trained("MAE", 4.0, 0.6, "small"), trained("MAE", 1.0, 0.5, "small"),
        trained("MAE", 8.0, 0.8, "large"), trained("LoMaR", 2.0, 0.4, "small"),
    ]  # fmt: skip
    figure = compute_figure(rows, {"Raw pixels": 0.3, "Random init": 0.2}, "Accuracy", "title")
    (axes,) = figure.axes
    joined, other, large = lines_in(axes)
    assert points(joined) == [(1, 50), (4, 60)]
    assert points(large) == [(8, 80)]
    assert points(other) == [(2, 40)]
    assert joined.get_color() == large.get_color() == COLOURS[0] != other.get_color()
    assert joined.get_marker() == other.get_marker() != large.get_marker()
    assert joined.get_linestyle() == other.get_linestyle() != large.get_linestyle()
    assert axes.get_xscale() == "log"
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["MAE", "LoMaR", "small", "large"]
    controls = [line for line in axes.lines if line.get_linestyle() == "--"
                and list(line.get_xdata()) == [0, 1]]  # fmt: skip
    assert [list(line.get_ydata()) for line in controls] == [[30, 30], [20, 20]]
    assert {text.get_text(): text.xy[1] for text in axes.texts}.keys() == {
        "Raw pixels", "Random init"
    }  # fmt: skip
    low, high = axes.get_ylim()
    for text, value in zip(axes.texts, (20, 30), strict=True):  # from below
        assert low + text.xy[1] * (high - low) == pytest.approx(value)


def test_a_small_range_of_compute_is_linear():
    rows = [trained("MAE", 1.0, 0.6), trained("LoMaR", 7.9, 0.6)]
    assert compute_figure(rows, {}, "Accuracy", "").axes[0].get_xscale() == "linear"


def test_the_axis_ends_near_0_and_100_percent_and_an_interval_there():
    wide = replace(trained("MAE", 1.0, 0.6).score, low=-0.4, high=1.6)
    figure = compute_figure([Trained(wide, "MAE")], {"Raw pixels": 0.9}, "Accuracy", "")
    assert figure.axes[0].get_ylim() == (-3, 103)
    (bar,) = figure.axes[0].containers
    assert bar.lines[2][0].get_segments()[0][:, 1] == pytest.approx([0, 100])


def test_twelve_methods_and_five_controls_with_long_names_are_told_apart():
    rows = [trained(f"SAR-JEPA (Gaussian, {n}) over all", 1.0 + n, 0.5) for n in range(12)]
    controls = {f"Random init (no class token), encoder vit:128x4x4@112/{n}": 0.3 + n / 1000
                for n in range(5)}  # fmt: skip
    figure = compute_figure(rows, controls, "Accuracy", "mstar_soc/logistic/all")
    (axes,) = figure.axes
    looks = {
        (line.get_color(), line.get_marker(), to_hex(line.get_markerfacecolor()))
        for line in lines_in(axes)
    }
    assert len(looks) == 12
    assert outside(figure) == []
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the arrow
    boxes += [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert len(boxes) == 17
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])


def test_texts_are_moved_apart_and_stay_inside():
    assert spread([0.1, 0.5], [0.2, 0.2]) == [0.1, 0.5]
    assert spread([0.5, 0.5, 0.51], [0.1, 0.1, 0.1]) == pytest.approx([0.5, 0.6, 0.7])
    assert spread([0.9, 0.95], [0.2, 0.2]) == pytest.approx([0.7, 0.9])


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ([("linear", "all"), ("logistic", "all"), ("knn", "all"), ("logistic", 40)], 1),
        ([("knn", "all"), ("linear", "all")], 1),
        ([("linear", 10), ("linear", 40), ("knn", 40)], 1),
        ([("logistic", "all", "shift:4"), ("knn", 10)], 1),
        ([("logistic", "all", "", f"readout {r}") for r in ("patch_max", "patch_mean")], 1),
        ([("logistic", "all", "", f"readout {r}") for r in ("patch_mean", "patch_mean_std")], 0),
    ],
)
def test_the_column_of_the_figure(columns, chosen):
    made = [Column("mstar_soc", *parts) for parts in columns]
    assert main_column(made) == made[chosen]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return the plan of a grid with three epochs and two sizes, and its store."""
    folder = tmp_path_factory.mktemp("swept")
    write_pool(folder / "runs" / "data")
    sarbench = Sarbench(folder, SWEPT, SARBENCH_DATA=str(folder / "runs" / "data"))
    made = fill(sarbench.grid, sarbench.runs, lambda run, labels: share(0.5, run.seed, len(labels)))
    for entry in made.pretrain:
        start = entry.planned
        if start.recipe is None or start.row == "LoMaR, encoder vit_nano, epochs 4":
            continue
        architecture = Architecture(
            encoder="x", encoder_parameters=1, trained_parameters=1, encoder_gflop=0.1,
            step_gflop=GFLOP[start.axes["encoder"]],
        )  # fmt: skip
        record = pretrain_record(start).model_copy(update={
            "architecture": architecture, "steps": 5 * start.recipe.epochs,
        })  # fmt: skip
        path = sarbench.runs / "pretrain" / record.key / "record.json"
        path.write_text(record.model_dump_json())
    return sarbench


def test_compute_is_that_of_the_records_and_rows_without_it_are_named(swept):
    store = Store(swept.runs)
    plan = make_plan(read_grid(swept.grid), store, swept.runs / "data")
    board = leaderboard(plan)
    (found,), missing = compute_figures(plan, board)
    assert missing == []
    assert found.caption.endswith(
        "Lines join rows that differ only in epochs. Without compute in their records: "
        "LoMaR, encoder vit_nano, epochs 4."
    )
    (axes,) = found.draw().axes
    drawn = sorted([x for x, _ in points(line)] for line in lines_in(axes))
    # 5 steps per epoch of 4 chips at 0.5 or 0.25 GFLOP each
    nano, small = ([epochs * 5 * 4 * cost / 1000 for epochs in EPOCHS] for cost in (0.5, 0.25))
    expected = sorted([nano, small, [nano[0], nano[2]], small])
    assert [pytest.approx(one) for one in expected] == drawn
    assert len(axes.texts) == len(board.controls) == 5

    none = replace(plan, pretrain=[e for e in plan.pretrain if e.planned.recipe is None])
    assert compute_figures(none, board)[0] == []


def test_the_states_of_a_training_are_a_line_over_the_steps_up_to_each(tmp_path):
    text = pooled_grid("states", ["mae"]).replace(
        "[evaluate]", "epochs = 8\nwarmup_epochs = 0.5\n[evaluate]\nat = [0.25, 1.0, 0.5]"
    )
    write_pool(tmp_path / "runs" / "data")
    sarbench = Sarbench(tmp_path, text, SARBENCH_DATA=str(tmp_path / "runs" / "data"))
    fill(sarbench.grid, sarbench.runs, lambda run, labels: share(
        0.5 + 0.4 * run.pretraining.axes.get("at", 0), run.seed, len(labels)
    ))  # fmt: skip
    plan = make_plan(read_grid(sarbench.grid), Store(sarbench.runs), tmp_path / "runs" / "data")
    for entry in plan.pretrain:
        if entry.planned.recipe:
            steps = steps_of(entry.planned.identity)
            architecture = Architecture(
                encoder="x", encoder_parameters=1, trained_parameters=1, encoder_gflop=0.1,
                step_gflop=0.5,
            )  # fmt: skip
            changed = {"architecture": architecture, "steps": steps}
            entry.record = entry.record.model_copy(update=changed)
    (found,), _ = compute_figures(plan, leaderboard(plan))
    assert "Lines join the states of one training, whose schedule is for all" in found.caption
    figure = found.draw()
    (line,) = lines_in(figure.axes[0])
    # 8 epochs of one batch of 4 chips at 0.5 GFLOP; after 2, 4 and 8 steps
    assert [x for x, _ in points(line)] == pytest.approx([0.004, 0.008, 0.016])
    assert [round(y / 10) for _, y in points(line)] == [6, 7, 9]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["MAE"]


def test_the_figure_of_an_archive_has_the_compute_of_its_records_and_the_scores_of_its_table():
    with ZipFile(ARCHIVE) as archive:
        lines = archive.read("pretrain.jsonl").decode().splitlines()
    compute = {
        record["identity"]["method"]: record["architecture"]["step_gflop"]
        * record["steps"] * record["identity"]["recipe"]["batch"] / 1000
        for record in map(json.loads, lines) if record["identity"]["recipe"]
    }  # fmt: skip
    table = json.loads(call_here("table", ARCHIVE, "--format", "json").stdout)
    scores = {cell["name"]: 100 * cell["mean"] for cell in table
              if cell["protocol"] == "knn" and not cell["control"]}  # fmt: skip
    with unpacked(ARCHIVE) as store:
        plan = read_plan(store, Filters())
        (found,), _ = compute_figures(plan, leaderboard(plan))
    (axes,) = found.draw().axes
    drawn = [point for line in lines_in(axes) for point in points(line)]
    expected = sorted((compute[name], scores[name]) for name in ("mae", "sar_hog"))
    assert sorted(drawn) == [pytest.approx(one) for one in expected]


def test_a_column_can_be_chosen_by_the_name_of_the_figure(tmp_path):
    linear = "cost-synthetic-linear-5-shots"
    words = ("report", ARCHIVE, "--out", tmp_path / "cost.svg", "--figure")
    wrong = call_here(*words, "cost-none")
    assert wrong.returncode == 2
    assert linear in wrong.stderr
    assert linear not in call_here(*words, "none").stderr
    done = call_here(*words, linear)
    assert done.stdout.startswith("Accuracy over compute, synthetic, linear, 5 shots\n")
