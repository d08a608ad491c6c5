"""Commands, files and links of the pages are right; nothing of them is run here."""

import ast
import sys

import pytest
from doc_blocks import PAGES, ROOT, blocks, commands, headings, links, problem

from sarbench.bench.grid.schema import Grid, GridError
from sarbench.bench.slurm.profile import ProfileError, parse_profile
from sarbench.bench.toml_file import parse

sys.path.insert(0, str(ROOT / "docs"))
import tomllib

import _reference

GENERATED = "docs/reference/", "docs/papers.md", "docs/data.md"  # have headings from the code


def test_every_command_of_a_page_is_one_of_the_command_line():
    wrong = [
        f"{page.relative_to(ROOT)}: {command}: {why}"
        for page in PAGES
        for command, whole in commands(page)
        if (why := problem(command, whole))
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("sarbench tabel demo", "no command tabel"),
        ("sarbench data prepair x", "no subcommand prepair"),
        ("sarbench table demo --gian", "No such option"),
        ("sarbench table", "no grid"),
        ("sarbench compare demo mae lomar hpm", "too many arguments"),
    ],
)
def test_a_wrong_command_is_found(command: str, why: str):
    assert why in problem(command, True)


def test_every_file_of_a_page_is_a_grid_or_a_profile_that_can_be_read():
    for page in PAGES:
        for block in blocks(page):
            if block.file.endswith("site.toml"):
                parse_profile(tomllib.loads(block.text), block.file)
            elif block.file:
                parse(tomllib.loads(block.text), Grid, GridError, block.file)
            elif block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "python":
                ast.parse(block.text)
    with pytest.raises(ProfileError, match="partitoin"):
        parse_profile({"partitoin": "gpu"}, "site.toml")


def test_links_lead_to_files_and_headings():
    broken = []
    for page in PAGES:
        for link, file, anchor in links(page):
            name = file.relative_to(ROOT).as_posix() if ROOT in file.parents else str(file)
            generated = name.startswith(GENERATED)
            if not file.exists() or (anchor and not generated and anchor not in headings(file)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def test_every_page_is_in_the_contents():
    listed = (ROOT / "docs" / "index.md").read_text("utf-8").splitlines()
    pages = [page for page in PAGES if (ROOT / "docs") in page.parents]
    names = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in pages}
    assert names - {"index"} == names & set(listed)


@pytest.mark.parametrize(
    "name", ["grid", "recipes", "encoders", "profile", "protocols", "metrics", "commands"]
)
def test_every_key_of_the_reference_is_described(name: str):
    assert _reference.UNDOCUMENTED not in _reference.PARTS[name]()


def test_the_reference_has_the_values_of_the_code():
    grid = _reference.grid()
    assert "| `pool_cap` | whole number, at least 1 | not set |" in grid
    assert '| `budget` | `"chips"`, `"flops"`, `"core_seconds"` | `"chips"` |' in grid
    assert "| `base_lr` | number | `0.001` | `0.016` |" in _reference.recipes()
    assert "| `vit_nano` | 112 | 8 | 64 | 3 | 4 |" in _reference.encoders()
    assert "| `time_min` | whole number, at least 1 | `1440` (pretrain), `240` (evaluate) |" in (
        _reference.profile()
    )
