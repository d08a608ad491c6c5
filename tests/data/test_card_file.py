"""Card files, which make a labelled folder a data set with a name."""

import pytest
from chips import four

from sarbench.bench.data import registry
from sarbench.bench.data.find_set import find_set
from sarbench.bench.data.listing import DatasetMismatchError
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import UnknownDatasetError, add_cards, card, dataset_names
from sarbench.bench.data.set_descriptions import FOLDER, descriptions_of, write_description
from sarbench.bench.data.sources.card_file import CardError, CardFile, card_from, to_toml

CARD = 'title = "Ships"\nfolder = "set"\nlicence = "CC0"\n'


@pytest.fixture(autouse=True)
def no_cards(monkeypatch):
    """Forget the cards of a test."""
    monkeypatch.setattr(registry, "_added", {})


def test_a_card_in_the_data_folder_names_a_data_set(tmp_path):
    four(tmp_path / "set")
    (tmp_path / "ships.card.toml").write_text(CARD + "[counts.train]\na = 1\nb = 1\n")
    add_cards(tmp_path)
    assert "ships" in dataset_names()
    assert (card("ships").title, card("ships").source.licence) == ("Ships", "CC0")
    named = prepare("ships", tmp_path / "nowhere", tmp_path / "prepared").chips
    plain = prepare("folder:set", tmp_path, tmp_path / "prepared").chips
    assert (named.name, named.data_digest, named.split_digest) == (
        "ships", plain.data_digest, plain.split_digest
    )  # fmt: skip


def test_a_store_knows_the_card_without_the_folder(tmp_path, monkeypatch):
    four(tmp_path / "set")
    (tmp_path / "ships.card.toml").write_text(CARD)
    add_cards(tmp_path)
    chips, summary = prepare("ships", tmp_path, tmp_path / "prepared")
    write_description(tmp_path / "store", "ships", chips, summary)
    monkeypatch.setattr(registry, "_added", {})
    add_cards(tmp_path / "store" / FOLDER)
    (known,) = descriptions_of(tmp_path / "store", "ships")
    known.check()
    assert card("ships").title == "Ships"
    assert find_set("ships", tmp_path / "nowhere", tmp_path / "store").summary == summary
    with pytest.raises(FileNotFoundError, match=r"the folder of ships; name the data folder with"):
        prepare("ships", tmp_path, tmp_path / "other")
    add_cards(tmp_path)
    add_cards(tmp_path / "store" / FOLDER)  # does not replace the card with a folder
    assert len(prepare("ships", tmp_path, tmp_path / "other").chips) == 4


def test_other_counts_than_those_of_the_card_are_refused(tmp_path):
    four(tmp_path / "set")
    (tmp_path / "ships.card.toml").write_text(CARD + "[counts.test]\na = 1\nb = 7\n")
    add_cards(tmp_path)
    with pytest.raises(DatasetMismatchError, match="test b: expected 7, found 1"):
        prepare("ships", tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ships", "folder = 'x'\n", "title is missing"),
        ("ships", CARD + "colour = 1\n", "unknown key 'colour'"),
        ("ships", CARD + "crop = 4\n", "crop is 4; it must be 8 to 4096 px"),
        ("ships", CARD + "[counts.val]\na = 1\n", "counts has val; allowed: train, test"),
        ("ships", CARD + "test = 1.5\n", "test must be less than 1"),
        ("a b", CARD, "'a b' cannot name a data set"),
        ("ships", "title =", "is not a TOML file"),
    ],
)
def test_a_card_with_a_mistake_is_refused_when_it_is_named(tmp_path, name, text, message):
    path = tmp_path / f"{name}.card.toml"
    path.write_text(text)
    with pytest.raises(CardError, match=message):
        card_from(path)
    add_cards(tmp_path)
    with pytest.raises(UnknownDatasetError, match=message):
        card(name)
    assert name not in dataset_names()


def test_a_card_cannot_replace_a_data_set_of_ours(tmp_path):
    (tmp_path / "mstar_soc.card.toml").write_text(CARD)
    add_cards(tmp_path)
    assert card("mstar_soc").title != "Ships"


def test_what_is_written_is_read_again(tmp_path):
    content = CardFile(
        title='A "quoted" \\ title', folder="x", crop=96, test=0.25, by="group", seed=3,
        counts={"train": {"T-72 (a)": 1}, "test": {"T-72 (a)": 2}},
    )  # fmt: skip
    path = tmp_path / "x.card.toml"
    path.write_text(to_toml(content))
    found = card_from(path)
    assert found.source.content == content
    assert (found.crop_px, found.crop_from_sizes) == (96, False)


def test_a_card_is_written_in_utf_8_and_read_again(tmp_path):
    names = {"T-72 (früh)": 1, "🚢": 2, 'del\x7f "tab\t"': 3}
    content = CardFile(title="Schiffe, früh", folder="x", counts={"train": names})
    path = tmp_path / "x.card.toml"
    path.write_text(to_toml(content), encoding="utf-8")
    assert '"T-72 (früh)" = 1' in path.read_text("utf-8")
    assert card_from(path).source.content == content


def test_a_package_adds_a_data_set(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "ships.card.toml").write_text(CARD)
    where = "__import__('pathlib').Path(__file__).with_name('ships.card.toml')"
    (tmp_path / "plugin_ships.py").write_text(f"place = {where}\n")
    info = tmp_path / "plugin_ships-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-ships\nVersion: 1\n")
    points = "ships = plugin_ships:place\nlost = plugin_ships:missing\n"
    (info / "entry_points.txt").write_text(f"[sarbench.datasets]\n{points}")
    registry._add_installed.cache_clear()
    try:
        assert card("ships").source.path == str(tmp_path / "set")
        with pytest.raises(UnknownDatasetError, match="the package of data set 'lost' fails"):
            card("lost")
    finally:
        registry._add_installed.cache_clear()
