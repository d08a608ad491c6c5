"""Chance and the ceiling under a table, by hand."""

from types import SimpleNamespace

from made_scores import cell_scores

from sarbench.bench.reporting.reference_levels import reference_notes
from sarbench.results.leaderboard import tabulate_scores
from sarbench.results.scores import Column

ONE = {"test": {"a": 0, "b": 30, "c": 10, "d": 0}}
SOC, EOC = Column("soc", "knn", "all"), Column("eoc", "knn", "all")
PLAN = SimpleNamespace(data={
    "soc": SimpleNamespace(counts={"test": {"a": 5, "b": 5}}, classes=("a", "b")),
    "eoc": SimpleNamespace(counts=ONE, classes=tuple("abcd")),
})  # fmt: skip


def notes(levels, columns=(SOC, EOC)):
    scores = [
        one
        for column in columns
        for row, (name, level) in levels.items()
        for one in cell_scores(row, [level] * 3, column, name=name)
    ]
    board = tabulate_scores(scores)
    return [note.flag for note in reference_notes(PLAN, board)]


def test_chance_is_one_of_the_classes_and_the_share_of_the_largest():
    expected = ["Chance: soc 50.0%; eoc 25.0% (always its largest class: 75.0%)."]
    assert notes({"MAE": ("mae", 0.5)}) == expected


def test_the_ceiling_is_the_supervised_row_and_says_where_it_is_beaten():
    levels = {"MAE": ("mae", 0.5), "Labels": ("supervised", 0.75)}
    assert notes(levels)[1] == (
        "Ceiling: Labels (pretrained with labels: 75.0 in soc/knn/all, 75.0 in eoc/knn/all)."
    )
    levels["MAE"] = ("mae", 0.8)
    beaten = ") is below another method in 2 of 2 columns, so it is not a ceiling there."
    assert notes(levels)[1].endswith(beaten)
    shots = [SOC._replace(shots=number) for number in range(1, 6)]
    assert notes(levels, columns=shots)[1] == (
        "Labels (pretrained with labels) is below another method in 5 of 5 columns, so it is not "
        "a ceiling there."
    )
