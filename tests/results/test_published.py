"""A paper next to our numbers: published values, verdicts, statements of order."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from made_scores import score

from sarbench.bench.reporting.published import FOLDER, PublishedError, papers, read_published
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.published.sheets import paper_sheets
from sarbench.results.published.verdicts import check_cells, check_orders, setup_differences
from sarbench.results.scores import Column
from sarbench.results.tables.render import STYLES, render_sheets

ROWS = {"sar_jepa": ["SAR-JEPA"], "lomar": ["LoMaR"], "mae": ["MAE"], "i_jepa": ["I-JEPA"]}


def scores(method, values, *, dataset="mstar_soc", protocol="few_shot", shots=40, **other):
    column = dataset, protocol, shots
    return [score(method, v, seed=seed, column=column, **other) for seed, v in enumerate(values)]


@pytest.fixture
def paper():
    return read_published("sar_jepa")


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def verdicts(paper, runs):
    found = check_cells(paper, tabulate_scores(runs), runs, ROWS)
    return {(c.table, c.label, c.column): c for c in found}


def test_the_known_values_of_table_6_carry_their_grade_and_source(paper):
    by_place = {(v.table, v.dataset, v.protocol, v.shots, v.row): v for v in paper.value}
    best = by_place["6", "MSTAR", "fine-tuning", 40, "sar_jepa"]
    assert (best.value, best.grade, best.sources) == (91.6, "B", ["summary", "sarmae", "sareo"])
    assert by_place["6", "SAR-ACD", "fine-tuning", 40, "lomar"].value == 67.4
    assert by_place["4", "MSTAR", "fine-tuning", 10, "target_hog"].value == 30.2
    assert not [v for v in paper.value if v.shots == 20]  # none is known, none is filled in
    assert papers() == ["sar_jepa"]


def test_verdicts_by_hand(paper):
    column = Column("mstar_soc", "few_shot", 40)
    runs = scores("SAR-JEPA", [0.910, 0.915, 0.920, 0.918]) + scores(
        "LoMaR", [0.60, 0.61, 0.6, 0.61]
    )
    runs += scores("MAE", [0.3, 0.9, 0.5, 0.95]) + scores("I-JEPA", [0.4, None, 0.4, 0.4])
    found = verdicts(paper, runs)
    near = found["6", "SAR-JEPA", column]
    assert near.verdict == "reproduced"
    values = np.array([0.910, 0.915, 0.920, 0.918])
    half = scipy.stats.t.ppf(0.975, 3) * values.std(ddof=1) * np.sqrt(1 / 4 + 1 / 5)
    assert (near.difference, near.half) == (
        pytest.approx(values.mean() - 0.916), pytest.approx(half),
    )  # fmt: skip
    assert found["6", "LoMaR", column].verdict == "differs"
    assert found["6", "LoMaR", column].reason.startswith("-16.5 ± ")
    assert found["6", "LoMaR", column].reason.endswith(", we have one checkpoint")
    assert found["6", "MAE", column].verdict == "undecided"
    assert found["6", "I-JEPA", column].verdict == "not measured"
    assert found["6", "I-JEPA", column].reason == "3 of 4 runs"
    assert found["6", "ImageNet", column].verdict == "not ours"
    assert found["6", "LoMaR", Column("fusar_ship", "few_shot", 40)].verdict == "not measured"
    assert found["5", "SAR-JEPA", column].verdict == "reproduced"


def test_a_cell_without_a_published_value_is_not_published(paper):
    column = Column("mstar_soc", "linear", 20)
    runs = scores("SAR-JEPA", [0.5, 0.52], protocol="linear", shots=20)
    assert verdicts(paper, runs)["6", "SAR-JEPA", column].verdict == "not published"


def test_one_run_is_undecided(paper):
    runs = scores("SAR-JEPA", [0.5])
    found = verdicts(paper, runs)["6", "SAR-JEPA", Column("mstar_soc", "few_shot", 40)]
    assert (found.verdict, found.reason) == ("undecided", "one run, so the spread is unknown")


def test_a_variant_of_a_data_set_is_compared_under_its_own_name(paper):
    runs = scores("LoMaR", [0.67, 0.68, 0.675], dataset="sar_acd/paper_random")
    found = verdicts(paper, runs)
    assert (
        found["6", "LoMaR", Column("sar_acd/paper_random", "few_shot", 40)].verdict == "reproduced"
    )


def test_statements_of_order_are_tested(paper, draw):
    wobble = np.linspace(0, 0.01, 10)
    runs = scores("SAR-JEPA", 0.8 + wobble) + scores("LoMaR", 0.7 + wobble / 2)
    runs += scores("MAE", 0.9 + wobble / 3) + scores(
        "I-JEPA", 0.8 + wobble - 0.001 * (-1) ** np.arange(10)
    )
    found = {
        (o.higher, o.lower): o
        for o in check_orders(paper, runs, ROWS, draw)
        if o.column == Column("mstar_soc", "few_shot", 40) and "table 6" in o.statement
    }
    assert found["SAR-JEPA", "LoMaR"].verdict == "holds for these checkpoints"
    assert found["SAR-JEPA", "LoMaR"].p_holm == pytest.approx(3 * 2 / 2**10)
    assert found["SAR-JEPA", "MAE"].verdict == "contradicted by these checkpoints"
    assert found["SAR-JEPA", "I-JEPA"].verdict == "reversed in the mean only"
    assert found["SAR-JEPA", "FG-MAE"].verdict == "not measured"


def test_a_statement_across_protocols_pairs_the_same_seeds(paper, draw):
    linear, tuned = np.linspace(0.6, 0.7, 8), np.linspace(0.5, 0.61, 8)
    runs = scores("SAR-JEPA", linear, dataset="sar_acd", protocol="linear", shots=10)
    runs += scores("SAR-JEPA", tuned, dataset="sar_acd", shots=10)
    (found,) = [o for o in check_orders(paper, runs, ROWS, draw) if "overfitting" in o.statement]
    assert (found.verdict, found.unit) == ("holds for these checkpoints", "seeds")
    assert found.p_holm == pytest.approx(2 / 2**8)
    assert found.difference == pytest.approx(float((linear - tuned).mean()))


def test_an_order_of_methods_is_tested_over_pretraining_seeds(paper, draw):
    values = {"SAR-JEPA": [0.80, 0.82, 0.84], "LoMaR": [0.70, 0.71, 0.72], "MAE": [0.79, 0.82, 0.8]}
    runs = [s for row, means in values.items() for start, mean in enumerate(means)
            for s in scores(row, [mean - 0.01, mean + 0.01], start=start)]  # fmt: skip
    column = Column("mstar_soc", "few_shot", 40)
    found = {o.lower: o for o in check_orders(paper, runs, ROWS, draw)
             if o.column == column and "table 6" in o.statement}  # fmt: skip
    clear, unclear = (
        scipy.stats.ttest_ind(values["SAR-JEPA"], values[row], equal_var=False).pvalue
        for row in ("LoMaR", "MAE")
    )
    assert found["LoMaR"].p_holm == pytest.approx(2 * clear)
    assert found["MAE"].p_holm == pytest.approx(unclear)
    assert (found["LoMaR"].verdict, found["LoMaR"].unit) == ("holds", "pretrain_seeds")
    assert found["MAE"].verdict == "in the mean only"


def test_two_protocols_on_the_same_encoders_are_paired_by_pretraining_seed(paper, draw):
    means, gaps = [0.60, 0.70, 0.80], np.array([0.04, 0.05, 0.045])
    runs = []
    for start, (mean, gap) in enumerate(zip(means, gaps, strict=True)):
        for protocol, value in (("linear", mean + gap), ("few_shot", mean)):
            runs += scores("SAR-JEPA", [value], dataset="sar_acd", protocol=protocol, shots=10,
                           start=start)  # fmt: skip
    (found,) = [o for o in check_orders(paper, runs, ROWS, draw) if "overfitting" in o.statement]
    assert found.p_holm == pytest.approx(scipy.stats.ttest_1samp(gaps, 0).pvalue)
    assert found.verdict == "holds"


def test_a_difference_is_reproduced_within_the_margin_and_differs_outside(paper):
    column = Column("mstar_soc", "few_shot", 40)
    for gap, verdict in ((0.02, "reproduced"), (0.06, "differs")):
        runs = scores("SAR-JEPA", 0.916 - gap + np.array([-1, 0, 1, 0]) * 1e-3)
        found = verdicts(paper, runs)["6", "SAR-JEPA", column]
        assert (found.verdict, found.margin) == (verdict, 0.05)


def test_with_several_pretraining_seeds_the_published_value_is_one_checkpoint(paper):
    means = np.array([0.90, 0.92, 0.91])
    runs = [s for start, mean in enumerate(means)
            for s in scores("SAR-JEPA", [mean - 0.001, mean + 0.001], start=start)]  # fmt: skip
    found = verdicts(paper, runs)["6", "SAR-JEPA", Column("mstar_soc", "few_shot", 40)]
    half = scipy.stats.t.ppf(0.975, 2) * 0.01 * np.sqrt(1 / 3 + 1)
    assert found.half == pytest.approx(half)
    assert found.verdict == "undecided"


@pytest.mark.parametrize(
    ("gap", "seeds", "repetitions"),
    [(0.05, 5, 30), *(pytest.param(gap, seeds, 500, marks=pytest.mark.slow)
                      for gap in (0.04, 0.05, 0.055, 0.06) for seeds in (5, 10, 30))],
)  # fmt: skip
def test_a_true_gap_at_the_margin_is_seldom_called_reproduced(paper, gap, seeds, repetitions):
    """Both sides have a spread of 3 points; without an equivalence test it would be 38% at 4."""
    draw, reproduced = np.random.default_rng(seeds), 0
    key = ("6", "MSTAR", "fine-tuning", 40, "sar_jepa")
    (value,) = [v for v in paper.value
                if (v.table, v.dataset, v.protocol, v.shots, v.row) == key]  # fmt: skip
    for _ in range(repetitions):
        theirs = value.model_copy(update={"value": 100 * draw.normal(0.7, 0.03, 5).mean()})
        one = paper.model_copy(update={"value": [theirs]})
        runs = scores("SAR-JEPA", draw.normal(0.7 - gap, 0.03, seeds))
        found = verdicts(one, runs)["6", "SAR-JEPA", Column("mstar_soc", "few_shot", 40)]
        reproduced += found.verdict == "reproduced"
    level = 0.10 if gap < 0.05 else 0.025  # within the margin it may be called reproduced
    assert reproduced / repetitions <= scipy.stats.binom.isf(3e-5, repetitions, level) / repetitions


def test_differences_in_set_up_are_listed_field_by_field(paper):
    facts = {"encoder": "vit_nano", "epochs": 200, "pool": ["synthetic"]}
    found = setup_differences(paper, facts, ["sar_acd", "synthetic"])
    assert "encoder: paper vit_base, here vit_nano" in found
    assert "pool: paper msar + sar_ship + sarsim + sample, here synthetic" in found
    assert not any(line.startswith("epochs") for line in found)
    assert any("50% and 50%" in line for line in found)
    assert not any("rendering" in line for line in found)  # only where MSTAR is in the grid


@pytest.mark.parametrize("style", STYLES)
def test_the_sheets_show_published_next_to_measured(paper, draw, style):
    runs = scores("SAR-JEPA", [0.910, 0.915, 0.920, 0.918])
    cells = check_cells(paper, tabulate_scores(runs), runs, ROWS)
    sheets = paper_sheets(paper, cells, check_orders(paper, runs, ROWS, draw), ["crop"], [])
    text = render_sheets(sheets, style, notes=True)
    assert "(1) crop" not in render_sheets(sheets, style)
    assert "1 known difference" in render_sheets(sheets, style)
    assert "91.6 B / 91.6" in text
    assert "reproduced" in text
    assert "(1) crop" in text
    assert "31 published values" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.replace("value = 91.6", "value = 916", 1), "got 916"),
        (lambda s: s.replace('row = "lomar"', 'row = "lomer"', 1), "outside its table"),
        (lambda s: s.replace('["summary", "sarmae"]', '["nobody"]', 1), "unknown source 'nobody'"),
        (lambda s: s + "\n[extra]\na = 1\n", "unknown key 'extra'"),
        (lambda s: s.replace("citation =", "citatoin =", 1), "Did you mean 'citation'"),
        (lambda s: s.replace("grade =", "graed =", 1), "Did you mean 'grade'"),
        (lambda s: s.replace("[grades]", '[grades]\nE = "guessed"', 1), "unknown grade 'E'"),
        (lambda s: s.replace('grade = "B"', 'grade = "E"', 1), "value 'E'"),
        (lambda s: "title =", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, change, says):
    path = tmp_path / "other.toml"
    path.write_text(change((FOLDER / "sar_jepa.toml").read_text()))
    with pytest.raises(PublishedError, match=says):
        read_published(str(path))


def test_an_unknown_paper_names_the_known_ones():
    with pytest.raises(PublishedError, match="sar_jepa"):
        read_published("nothing")


def test_only_clean_columns_without_swept_settings_have_published_values(paper):
    runs = scores("SAR-JEPA", [0.910, 0.915, 0.920, 0.918])
    column = Column("mstar_soc", "few_shot", 40)
    more = [replace(s, condition="shift:4") for s in runs]
    more += [replace(s, settings="epochs 80") for s in runs]
    found = verdicts(paper, [*runs, *more])
    assert found == verdicts(paper, runs)
    assert found["6", "SAR-JEPA", column].verdict == "reproduced"
    assert verdicts(paper, more)["6", "SAR-JEPA", column].verdict == "not measured"
