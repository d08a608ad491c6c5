"""A shell completes commands, options, and names of grids, methods, data sets and protocols."""

import os

import pytest
from commands import TINY, call_here

from sarbench.bench.contract.skeleton import skeleton
from sarbench.methods._folders import VARIABLE


def completed(line: str) -> set[str]:
    words = line.split(" ")
    asked = {
        "_SARBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    return set(call_here(environment=asked).stdout.split())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return the current folder: a grid, an archive, other files, a folder of methods."""
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.toml", "results.zip", "notes.txt", ".hidden.toml"):
        (tmp_path / name).write_text(TINY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_own.py").write_text(skeleton("my_own", False))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sarbench gr", {"grids"}),
        ("sarbench grids ", {"ls", "show", "new"}),
        ("sarbench run real", {"real_small", "real_gpu"}),
        ("sarbench table t", {"tiny.toml"}),
        ("sarbench table re", {"real_small", "real_gpu", "results.zip"}),
        ("sarbench plan ./m", {"./mine/"}),
        ("sarbench plan tiny.toml --met", {"--method", "--methods"}),
        ("sarbench plan tiny.toml -m ", {"mae", "raw_pixels", "random_init"}),
        ("sarbench plan tiny.toml -m mae -p ", {"linear", "knn"}),
        ("sarbench plan tiny.toml -d ", {"synthetic"}),
        ("sarbench plan nothing.toml -p fi", {"finetune"}),
        ("sarbench methods show sim", {"simclr", "simmim"}),
        ("sarbench methods check --methods mine my", {"my_own"}),
        ("sarbench methods check --methods nowhere mas", {"maskfeat"}),
        ("sarbench methods show mae --encoder vit_n", {"vit_nano"}),
        ("sarbench protocols show k", {"knn"}),
        ("sarbench data prepare sarsi", {"sarsim"}),
        ("sarbench export splits fusar_ship/", {"fusar_ship/crop_128"}),
    ],
)
def test_names_are_completed(here, line, expected):
    assert completed(line) == expected
    assert VARIABLE not in os.environ  # of the process that is asked only


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    asked = {"_SARBENCH_COMPLETE": f"source_{shell}"}
    said = call_here(environment=asked).stdout
    assert "_SARBENCH_COMPLETE" in said
    assert "sarbench" in said
