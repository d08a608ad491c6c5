"""Only bench/ imports the other three; each of those imports nothing of ours but itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOREIGN = {  # libraries that a folder must not know
    "methods": {"pandas", "scipy", "submitit", "matplotlib", "typer", "rich", "pydantic"},
    "protocols": {"pandas", "submitit", "matplotlib", "typer", "rich", "timm", "pydantic"},
    "results": {"torch", "timm", "submitit", "typer", "rich"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """Return (number of leading dots, module) of every import in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize("folder", ["methods", "protocols", "results"])
def test_a_lower_folder_imports_nothing_of_ours_outside_itself(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for level, module in imports(path):
            assert level <= 1, f"{path} imports from outside its folder: {'.' * level}{module}"
            assert not module.startswith("sarbench"), f"{path} imports {module}"
            assert level or module.split(".")[0] not in FOREIGN[folder], f"{path} knows {module}"


def test_our_own_code_is_imported_relatively():
    for path in sorted((ROOT / "bench").rglob("*.py")):
        for level, module in imports(path):
            top = module.split(".")[0]
            ours = ("sarbench", "bench", "methods", "protocols", "results")
            assert level or top not in ours, f"{path}: {module}"


def test_only_the_command_line_prints():
    for folder in ("bench", "methods", "protocols", "results"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "cli" in path.parts:
                continue
            calls = [
                node.func.id
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            ]
            assert "print" not in calls, path
            assert not {"typer", "rich"} & {m.split(".")[0] for _, m in imports(path)}, path
