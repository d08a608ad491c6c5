"""A paper beside our numbers: values as they are known, verdicts, statements of order."""

import numpy as np
import pytest
import scipy.stats

from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.paper import check_cells, check_orders, setup_differences
from sarbench.results.paper_sheets import paper_sheets
from sarbench.results.published import PublishedError, papers, read_published
from sarbench.results.render import STYLES, render_sheets
from sarbench.results.scores import Score

ROWS = {"sar_jepa": ["SAR-JEPA"], "lomar": ["LoMaR"], "mae": ["MAE"], "i_jepa": ["I-JEPA"]}


def scores(method, values, *, dataset="mstar_soc", protocol="few_shot", shots=40, state="done"):
    return [
        Score(
            method=method, control=False, unconfirmed=False, dataset=dataset, protocol=protocol,
            shots=shots, pretrain_seed=0, seed=seed, state=state,
            values={} if value is None else {"accuracy": value},
        )
        for seed, value in enumerate(values)
    ]  # fmt: skip


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
    column = ("mstar_soc", "few_shot", 40)
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
    assert found["6", "LoMaR", column].reason.startswith("by -16.5 ± ")
    assert found["6", "MAE", column].verdict == "cannot tell"
    assert found["6", "I-JEPA", column].verdict == "not measured"
    assert found["6", "I-JEPA", column].reason == "3 of 4 runs"
    assert found["6", "ImageNet", column].verdict == "not ours"
    assert found["6", "LoMaR", ("fusar_ship", "few_shot", 40)].verdict == "not measured"
    assert found["5", "SAR-JEPA", column].verdict == "reproduced"


def test_what_the_paper_does_not_tell_is_shown_as_not_published(paper):
    column = ("mstar_soc", "linear", 20)
    runs = scores("SAR-JEPA", [0.5, 0.52], protocol="linear", shots=20)
    assert verdicts(paper, runs)["6", "SAR-JEPA", column].verdict == "not published"


def test_one_run_tells_nothing(paper):
    runs = scores("SAR-JEPA", [0.5])
    found = verdicts(paper, runs)["6", "SAR-JEPA", ("mstar_soc", "few_shot", 40)]
    assert (found.verdict, found.reason) == ("cannot tell", "one run: its spread is not known")


def test_a_variant_of_a_data_set_is_compared_under_its_own_name(paper):
    runs = scores("LoMaR", [0.67, 0.68, 0.675], dataset="sar_acd/paper_random")
    found = verdicts(paper, runs)
    assert found["6", "LoMaR", ("sar_acd/paper_random", "few_shot", 40)].verdict == "reproduced"


def test_statements_of_order_are_tested(paper, draw):
    wobble = np.linspace(0, 0.01, 10)
    runs = scores("SAR-JEPA", 0.8 + wobble) + scores("LoMaR", 0.7 + wobble / 2)
    runs += scores("MAE", 0.9 + wobble / 3) + scores(
        "I-JEPA", 0.8 + wobble - 0.001 * (-1) ** np.arange(10)
    )
    found = {
        (o.higher, o.lower): o
        for o in check_orders(paper, runs, ROWS, draw)
        if o.column == ("mstar_soc", "few_shot", 40) and "table 6" in o.statement
    }
    assert found["SAR-JEPA", "LoMaR"].verdict == "holds"
    assert found["SAR-JEPA", "LoMaR"].p_holm == pytest.approx(3 * 2 / 2**10)
    assert found["SAR-JEPA", "MAE"].verdict == "contradicted"
    assert found["SAR-JEPA", "I-JEPA"].verdict == "reversed in the mean only"
    assert found["SAR-JEPA", "FG-MAE"].verdict == "not measured"


def test_a_statement_across_protocols_pairs_the_same_seeds(paper, draw):
    linear, tuned = np.linspace(0.6, 0.7, 8), np.linspace(0.5, 0.61, 8)
    runs = scores("SAR-JEPA", linear, dataset="sar_acd", protocol="linear", shots=10)
    runs += scores("SAR-JEPA", tuned, dataset="sar_acd", shots=10)
    (found,) = [o for o in check_orders(paper, runs, ROWS, draw) if "overfitting" in o.statement]
    assert (found.verdict, found.p_holm) == ("holds", pytest.approx(2 / 2**8))
    assert found.difference == pytest.approx(float((linear - tuned).mean()))


def test_differences_in_set_up_are_listed_field_by_field(paper):
    facts = {"encoder": "vit_nano", "epochs": 200, "pool": ["synthetic"]}
    found = setup_differences(paper, facts, ["sar_acd", "synthetic"])
    assert "encoder: paper vit_base, here vit_nano" in found
    assert "pool: paper msar + sar_ship + sarsim + sample, here synthetic" in found
    assert not any(line.startswith("epochs") for line in found)
    assert any("50 % to 50 %" in line for line in found)
    assert not any("rendering" in line for line in found)  # only where MSTAR is in the grid


@pytest.mark.parametrize("style", STYLES)
def test_the_sheets_show_published_beside_measured(paper, draw, style):
    runs = scores("SAR-JEPA", [0.910, 0.915, 0.920, 0.918])
    cells = check_cells(paper, tabulate_scores(runs), runs, ROWS)
    sheets = paper_sheets(paper, cells, check_orders(paper, runs, ROWS, draw), ["crop"], [])
    text = render_sheets(sheets, style)
    assert "91.6 B / 91.6" in text
    assert "reproduced" in text
    assert "(1) crop" in text
    assert "31 published values" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.replace("value = 91.6", "value = 916", 1), "less than or equal to 100"),
        (lambda s: s.replace('row = "lomar"', 'row = "lomer"', 1), "outside its table"),
        (lambda s: s.replace('["summary", "sarmae"]', '["nobody"]', 1), "unknown source 'nobody'"),
        (lambda s: s + "\n[extra]\na = 1\n", "extra: Extra inputs"),
        (lambda s: "title =", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, change, says):
    from sarbench.results.published import FOLDER

    path = tmp_path / "other.toml"
    path.write_text(change((FOLDER / "sar_jepa.toml").read_text()))
    with pytest.raises(PublishedError, match=says):
        read_published(str(path))


def test_an_unknown_paper_names_the_known_ones():
    with pytest.raises(PublishedError, match="sar_jepa"):
        read_published("nothing")
