"""Commands and options that a message names exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import call_here

from sarbench.bench.cli.app import COMMANDS, load, out

ROOT = Path(__file__).parent.parent.parent
FILES = [p for name in ("bench", "methods", "protocols", "results")
         for p in sorted((ROOT / name).rglob("*.py"))]  # fmt: skip
COMMAND = re.compile(
    r"(?<![\w.])sarbench ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?([^`;\n]*?)(?=[`;\n]|\. |sarbench |$)"
)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS = {"--jobs", "--noheader", "--test-only", "--nv"}  # options of SLURM and apptainer


def commands() -> dict[tuple[str, ...], set[str]]:
    """Return the options of every command: ("plan",), ("data", "prepare")."""
    found: dict[tuple[str, ...], set[str]] = {(): {"--help", "--version"}}

    def walk(command, path: tuple[str, ...]) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))
        found[path] = {"--help", *(o for p in command.params for o in p.opts)}

    for name in COMMANDS:
        walk(load(name), (name,))
    return found


def texts(source: str) -> Iterator[str]:
    """Yield every string of a file; what an f-string fills in is {}."""
    inside = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(
                str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values
            )
        elif not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        elif id(node) not in inside:
            yield node.value


def problems(text: str, known: dict[tuple[str, ...], set[str]]) -> list[str]:
    """Return the commands and options in a text that do not exist."""
    found, text = [], re.sub(r"[ \n]+(?!\n)", lambda m: "\n" if "\n\n" in m[0] else " ", text)
    for match in COMMAND.finditer(text):
        first, second, rest = match.groups()
        group = any(len(path) == 2 and path[0] == first for path in known)
        path = (first, second) if group and second else (first,)
        if path not in known:
            found.append(f"sarbench {' '.join(path)}")
            continue
        said = f"{second or ''} {rest}"
        found += [f"sarbench {' '.join(path)} {o}" for o in OPTION.findall(said)
                  if o not in known[path]]  # fmt: skip
    if " " in text.strip() and not text.startswith("--"):
        every = OTHERS.union(*known.values())
        found += [o for o in OPTION.findall(COMMAND.sub("", text)) if o not in every]
    return found


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], set[str]]:
    return commands()


def test_every_command_and_option_that_a_message_names_exists(known):
    wrong = {
        f"{path.relative_to(ROOT)}: {problem}"
        for path in FILES
        for text in texts(path.read_text("utf-8"))
        for problem in problems(text, known)
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("run sarbench data prepare with --force", ["sarbench data prepare --force"]),
        ("`sarbench data pack {}` first", ["sarbench data pack"]),
        ("see: sarbench check", []),
        ("name another folder with --rnus", ["--rnus"]),
        ("`sarbench run {} --force`, or sarbench plan", []),
        ("`sarbench plan --force`", ["sarbench plan --force"]),
    ],
)
def test_a_message_that_names_something_else_is_found(known, text, problem):
    found = problems(text, known)
    if text.startswith("see") and ("check",) not in known:
        problem = ["sarbench check"]
    assert found == problem


def test_a_name_between_colons_is_not_an_emoji(capsys: pytest.CaptureFixture[str]):
    out.print("folder:ship: 2 chips", markup=False)
    out.print("folder:ship: 3 chips")
    assert capsys.readouterr().out == "folder:ship: 2 chips\nfolder:ship: 3 chips\n"


def test_a_second_value_after_an_option_is_answered_with_the_way_to_give_it():
    words = ("archive", "demo", "--out", "c.zip")
    done = call_here(*words, "--from", "a.zip", "b.zip")
    said = " ".join(re.sub("[│\n]", " ", done.stderr).split())
    assert (done.returncode, "repeat it to give several: --from A --from B" in said) == (2, True)
    done = call_here(*words, "b.zip")
    assert "unexpected extra argument" in done.stderr
    assert "repeat" not in done.stderr
