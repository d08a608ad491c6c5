"""`sarbench report --figure`: one figure in a file, its metadata, and refused requests."""

import re
import shutil
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from commands import Sarbench, call_here
from matplotlib.figure import Figure
from readme_tables import about
from stores import filled_store, pooled_grid, share

from sarbench.bench.data.prepare import NotPreparedError
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.plan.plan import make_plan
from sarbench.bench.reporting import encoder_figures, html_report
from sarbench.bench.reporting.leaderboard import leaderboard
from sarbench.bench.reporting.swept_figures import swept_figures
from sarbench.bench.store.records import Store

ARCHIVE = Path(__file__).parent.parent / "readme" / "small.zip"
GRID = pooled_grid(
    "figures", ["mae", "lomar"], 'conditions = ["clean", "shift:4", "shift:8"]\nseeds = 2',
    'linear = [5, 10]\n'
    'few_shot = { shots = [5], settings = { epochs = [40, 160] } }\nknn = ["all"]',
)  # fmt: skip
SHIFTS = {"": 0, "shift:4": 4, "shift:8": 8}


def right(run, labels):
    start = run.pretraining
    level = {"mae": 0.8, "lomar": 0.7, "raw_pixels": 0.6, "random_init": 0.4}[start.method]
    level -= 0.02 * SHIFTS[run.condition] + 0.05 * (run.swept == "epochs 40")
    level -= 0.05 * (run.shots == 5) + 0.03 * ("relative" in start.label)
    return share(level + 0.01 * (start.seed - 1), run.seed, len(labels))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Sarbench:
    return filled_store(tmp_path_factory.mktemp("figures"), GRID, right)


def test_the_lines_of_every_panel_are_the_cells_of_the_table(made):
    cells = {
        (cell["method"], cell["protocol"], cell["shots"], cell["condition"], cell["settings"]):
        100 * cell["mean"]
        for cell in made.cells() if cell["mean"] is not None
    }  # fmt: skip
    plan = make_plan(read_grid(made.grid), Store(made.runs), made.runs / "data")
    found = {one.name: one for one in swept_figures(plan, leaderboard(plan))}
    assert found.keys() == {
        *(f"shift-synthetic-{rest}" for rest in (
            "linear-5-shots", "linear-10-shots", "knn-all-labels",
            "few_shot-5-shots-epochs-40", "few_shot-5-shots-epochs-160",
        )),
        *(f"{rest}{condition}" for rest in (
            "shots-synthetic-linear", "epochs-synthetic-few_shot-5-shots",
        ) for condition in ("", "-shift-4", "-shift-8")),
    }  # fmt: skip
    untrained = {"MAE": "Random init", "LoMaR": "Random init (relative positions)"}
    cases = {
        "shift-synthetic-knn-all-labels": [
            (px, ("knn", "all", condition, "")) for condition, px in SHIFTS.items()
        ],
        "shots-synthetic-linear-shift-4": [
            (shots, ("linear", shots, "shift:4", "")) for shots in (5, 10)
        ],
        "epochs-synthetic-few_shot-5-shots": [
            (epochs, ("few_shot", 5, "", f"epochs {epochs}")) for epochs in (40, 160)
        ],
    }
    for name, columns in cases.items():
        panels = found[name].draw().axes
        assert [axes.get_title() for axes in panels] == ["MAE", "LoMaR"]
        for axes in panels:
            row = axes.get_title()
            # grey, dashed and solid; caps of intervals have no line
            drawn = [line.get_xydata() for line in axes.lines if line.get_linestyle() != "None"]
            rows = [
                of
                for of in ("Raw pixels", untrained[row], row)
                if (of, *columns[0][1]) in cells  # raw pixels have no encoder for few_shot
            ]
            assert len(drawn) == len(rows) == (2 if "few_shot" in name else 3)
            for of, points in zip(rows, drawn, strict=True):
                expected = [(value, cells[of, *column]) for value, column in columns]
                np.testing.assert_allclose(points, expected, rtol=1e-12)


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_one_figure_is_drawn_and_no_other(made, tmp_path, monkeypatch, suffix):
    drawn, save = [], Figure.savefig

    def count(figure, *given, **options):
        drawn.append(figure)
        save(figure, *given, **options)

    def refuse(*given):
        raise AssertionError("an encoder was run")

    monkeypatch.setattr(Figure, "savefig", count)
    monkeypatch.setattr(encoder_figures, "places_of", refuse)
    monkeypatch.setattr(encoder_figures, "attention_of", refuse)
    out = tmp_path / "new" / f"panels.{suffix}"
    done = made.here("report", made.grid, "--figure", "shots-synthetic-linear", "--out", out)
    title, caption = done.stdout.strip().split("\n\n")
    assert title == "Accuracy by shots (labelled chips per class), synthetic, linear"
    assert "95% Student interval" in caption
    assert f"written: {out}" in done.stderr
    assert len(drawn) == 1
    assert list(out.parent.iterdir()) == [out]
    start = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[suffix]
    assert out.read_bytes().startswith(start)


def test_an_svg_names_its_command_with_filters_and_is_reproducible(made, tmp_path):
    words = ("--figure", "shift-synthetic-linear-5-shots", "-m", "mae", "-m", "Raw pixels")
    paths = [tmp_path / f"{number}.svg" for number in range(2)]
    for path in paths:
        made.here("report", made.grid, "-d", "synthetic", *words, "--out", path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert about(first)["description"] == (
        "sarbench report grid.toml --figure shift-synthetic-linear-5-shots -m mae "
        "-m 'Raw pixels' -d synthetic"
    )
    assert "source" not in about(first)
    assert str(tmp_path).encode() not in first
    assert sorted(re.findall(rb"<!-- (MAE|LoMaR|Raw pixels) -->", first)) == [b"MAE", b"Raw pixels"]


def test_an_svg_of_an_archive_has_the_digest_of_its_manifest(tmp_path):
    copy, out = tmp_path / "copy.zip", tmp_path / "cost.svg"
    shutil.copy(ARCHIVE, copy)
    assert call_here("report", copy, "--figure", "cost", "--out", out).returncode == 0
    with ZipFile(ARCHIVE) as archive:
        digest = sha256(archive.read("manifest.json")).hexdigest()
    found = about(out.read_bytes())
    assert found["source"] == f"copy.zip, SHA-256 of its manifest.json: {digest}"
    assert found["title"] == "Accuracy over compute"
    assert "date" not in found


@pytest.mark.parametrize(
    ("filters", "shots"),
    [((), ", shift-synthetic-linear-5-shots, shots-synthetic-linear, shots-"),
     (("--condition", "clean"), "recall-synthetic, shots-synthetic-linear\nmissing: ")],
)  # fmt: skip
def test_an_unknown_figure_is_refused_with_the_names_that_the_grid_has(
    made, tmp_path, filters, shots
):
    out = tmp_path / "x.svg"
    done = made.here("report", made.grid, *filters, "--figure", "shots", "--out", out, status=2)
    assert (
        "unknown figure 'shots'. Did you mean 'shots-synthetic-linear'? Allowed: attention, "
        in done.stderr
    )
    assert shots in done.stderr
    assert "missing: score over compute: no finished pretraining with compute" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("cost.jpg", "'.jpg' is not a format of figures; allowed: .svg, .pdf, .png"),
        ("cost", "'' is not a format of figures"), (".", "is a folder"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch, out, said):
    monkeypatch.chdir(tmp_path)
    done = call_here("report", ARCHIVE, "--figure", "cost", "--out", out)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_figure_whose_pixels_are_missing_is_left_out_of_the_page_with_the_reason(
    made, tmp_path, monkeypatch
):
    def refuse(*given):
        raise NotPreparedError("synthetic is not prepared")

    monkeypatch.setattr(html_report, "FORMATS", ("svg",))
    monkeypatch.setattr(encoder_figures, "places_of", refuse)
    monkeypatch.setattr(encoder_figures, "attention_of", refuse)
    part = ("-p", "knn", "--condition", "clean", "--paper", "none")
    made.here("report", made.grid, *part, "--out", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert "features-synthetic: synthetic is not prepared" in page
    assert "attention: synthetic is not prepared" in page
    names = {path.name for path in (tmp_path / "page" / "figures").iterdir()}
    assert names == {"confusion-synthetic.svg", "recall-synthetic.svg"}
    done = made.here(
        "report", made.grid, "--figure", "attention", "--out", tmp_path / "a.svg", status=2
    )
    assert "synthetic is not prepared" in done.stderr
