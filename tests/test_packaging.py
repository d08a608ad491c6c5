"""Folders, packages, their import guards and data files."""

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import sarbench

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PUBLIC = ROOT / "bench/public"  # the package `sarbench` itself
FOLDERS = ("bench", "methods", "protocols", "results")


def test_every_folder_with_code_is_in_the_package_list():
    found = {
        "sarbench." + ".".join(path.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
        if path.parent != PUBLIC
    }
    assert found | {"sarbench"} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_importing_sarbench_is_quick_and_gives_the_public_names():
    code = (
        "import sys, sarbench; print(*dir(sarbench), sarbench.__version__); "
        "assert not {'torch', 'pandas', 'numpy'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    names = ["Evaluated", "Results", "__version__", "evaluate", "open_store", "pretrain"]
    assert done.stdout.split() == [*names, PROJECT["project"]["version"]]
    assert all(
        getattr(sarbench, name).__module__.startswith("sarbench.") for name in sarbench.__all__
    )


def test_a_folder_refuses_any_other_import_name():
    for folder in FOLDERS:
        code = f"import {folder}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert f"import sarbench.{folder}, not {folder}" in done.stderr


def test_the_top_level_holds_only_known_names():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    top = {name.split("/")[0] for name in tracked if name and not name.startswith(".")}
    assert top <= {
        *FOLDERS, "tests", "docs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md",
        "CITATION.cff", "CONTRIBUTING.md", "MANIFEST.in", "Makefile",
    }  # fmt: skip


def test_data_files_are_readable_through_the_package():
    assert files("sarbench.bench").joinpath("grids/demo.toml").read_text().startswith("#")


def test_no_file_is_longer_than_350_lines():
    long = {
        str(path.relative_to(ROOT)): count
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 350
    }
    assert not long
