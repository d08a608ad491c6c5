"""Imports follow the table in CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("bench", "methods", "protocols", "results")
FOREIGN = {  # libraries that a folder must not import
    "methods": {"pandas", "scipy", "submitit", "matplotlib", "typer", "rich", "pydantic"},
    "protocols": {"pandas", "submitit", "matplotlib", "typer", "rich", "timm", "pydantic"},
    "results": {"torch", "timm", "submitit", "typer", "rich"},
}
ROW = re.compile(r"^\| (\d+) \| `([\w/]+)` \|", re.MULTILINE)
APART = {  # places on different floors that do not know each other
    ("bench/execution", "bench/grid"),
    ("bench/reporting", "bench/slurm"),
    ("bench/contract", "bench/slurm"),
}


def floors() -> dict[str, int]:
    """Return the floor of each place, as CONTRIBUTING.md has it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return {place: int(floor) for floor, place in ROW.findall(text)}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, parsed(path)


@cache
def imports(tree: ast.Module) -> list[tuple[int, str]]:
    """Return (number of leading dots, module) of every import in a file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names] if not node.module else [node.module]
            found += [(node.level, name) for name in names]
    return found


def place_of(path: Path) -> str:
    """Return the place of a file: `methods`, `bench/grid`, `results`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in ("methods", "protocols") or len(parts) == 1:
        return parts[0]
    inside = (ROOT / parts[0] / parts[1]).is_dir() or parts[0] == "bench"
    return "/".join(parts[:2]) if inside and parts[1] != "__init__" else parts[0]


def arrows() -> Iterator[tuple[str, str, Path]]:
    """Yield (place, imported place, file) of every relative import."""
    for folder in FOLDERS:
        for path, tree in modules(ROOT / folder):
            for level, module in imports(tree):
                if level:
                    target = path.parents[level - 1].joinpath(*module.split("."))
                    yield place_of(path), place_of(target), path


def test_a_place_imports_only_lower_floors():
    floor = floors()
    wrong = {
        f"{path.relative_to(ROOT)}: {place} -> {target}"
        for place, target, path in arrows()
        if place != target and (floor[target] >= floor[place] or (place, target) in APART)
    }
    assert not wrong


def test_methods_protocols_and_results_import_only_themselves():
    for place, target, path in arrows():
        folder = place.split("/")[0]
        assert folder == "bench" or target.split("/")[0] == folder, path


def test_the_table_has_every_place():
    places = {place_of(path) for folder in FOLDERS for path, _ in modules(ROOT / folder)}
    assert set(floors()) == places - {"bench"}


@pytest.mark.parametrize("folder", ["methods", "protocols", "results"])
def test_a_lower_folder_does_without_the_libraries_of_bench(folder):
    for path, tree in modules(ROOT / folder):
        for level, module in imports(tree):
            assert level or module.split(".")[0] not in FOREIGN[folder], f"{path}: {module}"


def test_our_own_code_is_imported_relatively():
    for folder in FOLDERS:
        for path, tree in modules(ROOT / folder):
            for level, module in imports(tree):
                ours = ("sarbench", *FOLDERS)
                assert level or module.split(".")[0] not in ours, f"{path}: {module}"


def test_only_the_command_line_prints():
    for folder in FOLDERS:
        for path, tree in modules(ROOT / folder):
            if "cli" in path.parts:
                continue
            calls = [
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            ]
            assert "print" not in calls, path
            assert not {"typer", "rich"} & {m.split(".")[0] for _, m in imports(tree)}, path
