"""The tutorial, followed word for word: its files and commands, in a fresh folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, TUTORIAL, blocks

CLUSTER = ROOT / "docs" / "cluster.md"
LONGEST_S = 3600  # of one command, on a busy machine


def follow(page: Path, folder: Path, first: dict[str, str] | None = None, **renamed: str) -> str:
    """Write the files of a page and run its commands; return the output.

    Args:
        page: The page.
        folder: The working folder.
        first: More environment of the first block of commands.
        renamed: Words that are replaced in that block.
    """
    environment = {name: value for name, value in os.environ.items() if "SARBENCH" not in name}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1", "COLUMNS": "160",
    }  # fmt: skip
    output, more = "", first or {}
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text, "utf-8")
        elif block.language == "sh":
            text = block.text
            for old, new in renamed.items():
                text = text.replace(old, new)
            done = subprocess.run(
                ["bash", "-euxc", text], cwd=folder, env=environment | more, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=LONGEST_S,
            )  # fmt: skip
            output += done.stdout
            assert done.returncode == 0, output
            assert "Traceback" not in done.stdout, output
            more, renamed = {}, {}
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a person who reads one page after the other."""
    return tmp_path_factory.mktemp("tutorial")


@pytest.mark.slow
@pytest.mark.parametrize("page", [*TUTORIAL, CLUSTER], ids=lambda page: page.stem)
def test_the_tutorial_word_for_word(page: Path, folder: Path):
    output = follow(page, folder)
    expected = {
        "first": ["PGGA", "A: PGGA", "report/index.html"],
        "chips": ["10 classes", "written: data/vehicles.card.toml", "7 of 7 runs done"],
        "method": ["my_method fulfils the contract", "written: my_method.png", "A: My method"],
        "encoder": ["My encoder", "checkpoints, not methods", "features.npz"],
        "cluster": ["#SBATCH --exclusive", "#SBATCH --account=radar", "apptainer exec --nv"],
    }[page.stem]
    assert [words for words in expected if words not in output] == [], output


@pytest.mark.slow
def test_the_page_of_your_chips_on_real_chips(tmp_path, real_data):
    page = ROOT / "docs" / "chips.md"
    given = {"SARBENCH_DATA": str(real_data)}
    output = follow(page, tmp_path, given, synthetic="mstar_soc")
    assert "ZSU234: 299 train, 274 test" in output
    assert "of 7 runs done" in output or "of 5 runs done" in output


def test_every_page_of_the_tutorial_has_commands_that_are_run():
    for page in (*TUTORIAL, CLUSTER):
        run = [block.text for block in blocks(page) if block.language == "sh"]
        assert run, page
        assert all("sarbench " in text or "python " in text for text in run)
