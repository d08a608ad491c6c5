"""Citations name real publications, and every bundled method, data set and layout has its own."""

import re
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from commands import TINY, call_here
from test_packaging import PROJECT, ROOT

from sarbench.bench.data import registry
from sarbench.bench.data.registry import SOURCES
from sarbench.bench.reporting.citations import (
    ALSO,
    LAYOUTS,
    own_entry,
    papers,
    value_of,
)
from sarbench.bench.weights.layouts import LAYOUTS as KNOWN_LAYOUTS
from sarbench.methods import get
from sarbench.methods._registry import own_names

REQUIRED = {  # of BibTeX, without what is not known of a preprint
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "year"},
}
ARCHIVE = Path(ROOT) / "results" / "archive"


def words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


@pytest.mark.parametrize("key", papers())
def test_an_entry_is_whole(key):
    entry = papers()[key]
    kind = re.match(r"@(\w+)\{", entry)[1]
    assert entry.count("{") == entry.count("}")
    assert {name for name in REQUIRED[kind] if not value_of(entry, name)} == set()
    assert all(line.endswith(",") for line in entry.splitlines()[:-2])
    year = value_of(entry, "year")
    assert year in key
    assert words(value_of(entry, "author").split(",")[0]).split()[-1] in key


@pytest.mark.parametrize("name", sorted(own_names()))
def test_the_publication_of_a_method_is_that_of_its_docstring(name):
    """The docstring was written from the paper; the entry comes from the authors' repository."""
    method = get(name)
    if method.control or name == "given":
        return
    found = [one for one in papers().values() if method.paper.split("arXiv:")[-1] in one]
    assert len(found) == 1
    stated = import_module(method.__module__).__doc__.partition("Paper:")[2].partition("Source:")[0]
    title, author = value_of(found[0], "title"), value_of(found[0], "author").split(",")[0]
    assert words(title.replace("{", "")).split(" exploring")[0] in words(stated)
    assert author in stated
    years = re.findall(r"\b(?:19|20)\d\d\b(?!\.)", stated)
    assert value_of(found[0], "year") in years or not years


def test_keys_of_data_sets_layouts_and_methods_are_bundled():
    cited = {key for source in SOURCES for key in source.cites}
    assert cited | set(LAYOUTS.values()) | {k for keys in ALSO.values() for k in keys} <= set(
        papers()
    )
    assert {one.name for one in KNOWN_LAYOUTS} - set(LAYOUTS) == {"vit"}
    assert set(ALSO) <= own_names()
    for source in SOURCES:  # the card names the first author, the year where it has one
        if source.citation:
            entry = papers()[source.cites[0]]
            assert value_of(entry, "author").split(",")[0] in source.citation
            assert value_of(entry, "year") in source.citation


def test_a_grid_cites_what_it_uses(tmp_path):
    (tmp_path / "grid.toml").write_text(TINY)
    done = call_here("cite", tmp_path / "grid.toml", "--runs", tmp_path / "runs")
    assert re.findall(r"^@\w+\{(\w+),", done.stdout, re.M) == ["sarbench", "he2022masked"]
    assert f"version = {{{PROJECT['project']['version']}}}" in done.stdout
    assert "% MAE\n@inproceedings" in done.stdout
    less = call_here(
        "cite", tmp_path / "grid.toml", "-m", "raw_pixels", "--runs", tmp_path / "runs"
    )
    assert re.findall(r"^@\w+\{(\w+),", less.stdout, re.M) == ["sarbench"]


def test_an_archive_is_cited_without_its_data():
    said = call_here("cite", ARCHIVE / "real_small.zip").stdout
    assert "% MSTAR SOC, " in said
    assert "% SAR-HOG\n@article{song2016sar," in said
    assert "% No publication is known for: pool:folder:opensarship_slc_png" in said


def test_a_card_of_a_user_and_a_plug_in_are_cited_by_what_they_state(
    tmp_path, package, monkeypatch
):
    monkeypatch.setattr(registry, "_added", {})
    from sarbench.bench.contract.skeleton import skeleton

    text = skeleton("plugin_cited", False)
    package("plugin_cited", text.replace('paper="none yet"', 'paper="arXiv:2401.00001"'))
    chips = tmp_path / "data" / "mine"
    (tmp_path / "data").mkdir()
    chips.mkdir()
    card = (
        'title = "My set"\nfolder = "mine"\nwhere = "https://example.org"\ncitation = "Doe, 2024"\n'
    )
    (tmp_path / "data" / "my_set.card.toml").write_text(card)
    grid = TINY.replace('["mae"]', '["plugin_cited"]').replace(
        'datasets = ["synthetic"]', 'datasets = ["my_set"]'
    )
    (tmp_path / "grid.toml").write_text(grid)
    where = ("--runs", tmp_path / "runs", "--data", tmp_path / "data")
    done = call_here("cite", tmp_path / "grid.toml", *where)
    assert done.returncode == 0, done.stderr
    assert (
        "@misc{plugin_cited,\n  title = {{Plugin cited}},\n  eprint = {2401.00001}" in done.stdout
    )
    assert "@misc{my_set,\n  title = {{My set}},\n  note = {Doe, 2024}" in done.stdout
    assert r"howpublished = {\url{https://example.org}}" in done.stdout


def test_the_citation_file_is_valid_and_has_our_version():
    text = (ROOT / "CITATION.cff").read_text()
    cff, project = yaml.safe_load(text), PROJECT["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cff)  # required by its schema
    assert (cff["cff-version"], cff["type"]) == ("1.2.0", "software")
    assert (cff["title"], str(cff["version"])) == (project["name"], project["version"])
    assert (cff["abstract"], cff["license"]) == (project["description"], project["license"])
    assert all(isinstance(one["name"], str) for one in cff["authors"])


def test_readme_and_citation_file_have_the_entry_of_the_command():
    entry = own_entry()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    for name in ("title", "year", "version"):
        assert str(cited[name]) == value_of(entry, name)
    assert f"{{{cited['authors'][0]['name']}}}" == value_of(entry, "author")
    assert textwrap.indent(entry, "    ") in (ROOT / "README.md").read_text()
