"""Imports follow the table in CONTRIBUTING.md: who may import whom, and where torch may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("bench", "methods", "protocols", "results")
FOREIGN = {  # libraries that a folder must not import
    "methods": {"pandas", "scipy", "submitit", "matplotlib", "typer", "rich", "pydantic"},
    "protocols": {"pandas", "submitit", "matplotlib", "typer", "rich", "timm", "pydantic"},
    "results": {"torch", "timm", "submitit", "typer", "rich"},
}
ROW = re.compile(r"^\| `([\w/]+)` \|([^|]*)\|([^|]*)\|$", re.MULTILINE)


def allowed() -> dict[str, set[str]]:
    """Return the places that each place may import, as CONTRIBUTING.md says; `*` means all."""
    rows = ROW.findall((ROOT / "CONTRIBUTING.md").read_text())
    named = {place: set(re.findall(r"`([\w/]+)`", imports)) for place, _, imports in rows}
    everything = {place for place, _, imports in rows if imports.strip() == "all"}
    return {place: set(named) if place in everything else named[place] for place in named}


def modules(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


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
    """Return the place that a module of ours belongs to: `methods`, `bench/grid`, `results`."""
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


def test_every_import_is_in_the_table():
    table = allowed()
    wrong = {
        f"{path.relative_to(ROOT)}: {place} -> {target}"
        for place, target, path in arrows()
        if place != target and target not in table.get(place, set()) and target != "bench"
    }
    assert not wrong


def test_the_table_has_every_place_and_nothing_that_no_file_needs():
    table, used = allowed(), {(place, target) for place, target, _ in arrows()}
    places = {place_of(path) for folder in FOLDERS for path, _ in modules(ROOT / folder)}
    assert set(table) == places - {"bench"}
    unused = {
        (place, target)
        for place, targets in table.items()
        for target in targets - {place}
        if place != "bench/cli" and (place, target) not in used
    }
    assert not unused


def test_the_table_has_no_circle():
    """Places can be listed so that each imports only earlier ones; the table lists them so."""
    table, seen = allowed(), set[str]()
    for place, targets in table.items():
        assert targets <= seen | {place} or place == "bench/cli", (place, targets - seen)
        seen.add(place)


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
