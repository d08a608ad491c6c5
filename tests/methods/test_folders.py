"""Methods in folders of the user are found by name, without a package."""

import os
import subprocess
import sys

import pytest

from sarbench.bench.method_facts.method_info import code_digest, describe, plugin_digest
from sarbench.methods import BrokenMethodError, UnknownMethodError, get, names
from sarbench.methods._folders import VARIABLE, MethodsFolderError, set_folders

METHOD = """
from dataclasses import dataclass
from sarbench.methods import Method, register
from ._shared import LABEL

@dataclass(frozen=True)
class Config:
    pass

@register(label=LABEL, paper="none", version=3)
class Mine(Method):
    pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of methods that is searched, with one method, its shared file, a script."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    home = tmp_path / "mine"
    home.mkdir()
    (home / "in_folder.py").write_text(METHOD)
    (home / "_shared.py").write_text('LABEL = "Mine"\n')
    (home / "train.py").write_text("raise SystemExit\n")
    code_digest.cache_clear()
    yield home
    code_digest.cache_clear()


def test_a_file_of_a_folder_is_a_method_and_other_scripts_are_not(folder):
    assert "in_folder" in names()
    assert "train" not in names()
    method = get("in_folder")
    assert (method.name, method.label, method.version) == ("in_folder", "Mine", 3)
    assert describe(["in_folder"], folder / "none")["in_folder"].version == 3


def test_a_started_process_finds_the_method(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    set_folders([folder.relative_to(folder.parent.parent / folder.parent.name)])
    assert os.environ[VARIABLE] == str(folder)
    code = "from sarbench.methods import names; print('in_folder' in names())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == "True\n"


def test_a_file_without_register_is_named(folder):
    with pytest.raises(UnknownMethodError, match=r"train\.py has no @register.*--methods DIR"):
        get("train")


def test_two_methods_of_one_name_are_an_error_that_names_both(folder, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "in_folder.py").write_text(METHOD)
    monkeypatch.setenv(VARIABLE, f"{folder}{os.pathsep}{other}")
    with pytest.raises(BrokenMethodError, match=r"mine/in_folder\.py and .*other/in_folder\.py"):
        get("in_folder")
    (folder / "mae.py").write_text(METHOD)
    with pytest.raises(BrokenMethodError, match=r"'mae': sarbench\.methods\.mae and .*mae\.py"):
        describe(["mae"], tmp_path)  # also where its facts are cached
    assert describe(["lomar"], tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [("def f(:\n", 13, "SyntaxError: "), ("1 / 0\n", 13, "ZeroDivisionError: division by zero")],
)
def test_an_error_in_a_file_is_shown_with_file_and_line(folder, text, line, says):
    path = folder / "wrong.py"
    path.write_text(METHOD.lstrip("\n") + "\n" + text)
    assert "wrong" in names()
    with pytest.raises(BrokenMethodError, match=rf"{path}, line {line} failed with {says}"):
        get("wrong")


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(MethodsFolderError, match="nowhere does not exist; --methods and"):
        set_folders([tmp_path / "nowhere"])


def test_the_digest_of_a_method_includes_the_files_next_to_it(folder):
    before, all_before = plugin_digest("in_folder"), code_digest()
    (folder / "_shared.py").write_text('LABEL = "Other"\n')
    code_digest.cache_clear()
    assert plugin_digest("in_folder") != before
    assert code_digest() != all_before
