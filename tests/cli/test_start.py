"""A command starts quickly: it imports no heavy package that it does not need."""

import json
import subprocess
import sys

import pytest
from commands import call_here

from sarbench.bench.cli.app import COMMANDS, load
from sarbench.bench.grid.schema import bundled_grids
from sarbench.methods import _registry

# Calls each command in a fork of a process that has imported nothing heavy, and prints which heavy
# packages the command imported. Commands that may import numpy come last, when the process has
# imported what most of them need.
SCRIPT = """
import json, os, sys
import pydantic, rich.console, typer  # not heavy
from sarbench.bench.cli import main
heavy, calls, light = json.loads(sys.argv[1])
for number, words in enumerate(calls):
    if number == light:
        import sarbench.bench.plan.plan
    read, write = os.pipe()
    if os.fork() == 0:
        sys.argv, status = ["sarbench", *words], 0
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        found = [name for name in heavy if name in sys.modules]
        os.write(write, json.dumps([status, found]).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    print(os.read(read, 9999).decode())
"""
HEAVY = ("torch", "timm", "submitit", "matplotlib", "pandas", "sklearn", "scipy.stats", "scipy",
         "numpy")  # fmt: skip
BASE = {"numpy"}
SPECIAL = {"numpy", "scipy"}  # scipy.special
ALLOWED = {  # command: what it may import
    "--help": set(),
    "--version": set(),
    "plan GRID": BASE,
    "status GRID": BASE,
    "logs GRID": BASE,
    "check GRID": BASE,
    "merge --help": BASE,
    "table GRID": SPECIAL,
    "compare GRID mae lomar": SPECIAL,
    "paper GRID": SPECIAL,
    "data ls": BASE,
    "methods ls": BASE,
    "grids ls": BASE,
    "protocols ls": BASE,
    "report GRID --out page --no-encoders --help": SPECIAL,
    "doctor --help": BASE,
    "weights inspect --help": BASE,
    "features --help": BASE,
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_command_imports_only_the_heavy_packages_that_it_needs(known):
    known.here("methods", "ls", "--runs", known.runs)  # remembers the methods in the store
    calls = []
    for call in ALLOWED:
        words = [str(known.grid) if w == "GRID" else w for w in call.split()]
        stored = words[0] not in ("--help", "--version", "grids", "protocols", "weights")
        calls.append([*words, *(["--runs", str(known.runs)] if stored else [])])
    light = sum(not heavy for heavy in ALLOWED.values())
    assert not any(list(ALLOWED.values())[:light])  # they come first
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([HEAVY, calls, light])], capture_output=True,
        text=True, env=known.environment, cwd=known.folder, check=False,
    )  # fmt: skip
    found = dict(zip(ALLOWED, map(json.loads, done.stdout.splitlines()), strict=True))
    too_many = {call: set(has) - ALLOWED[call] for call, (_, has) in found.items()}
    assert {call: more for call, more in too_many.items() if more} == {}, done.stderr
    wrong = {call: status for call, (status, _) in found.items() if status not in (0, 1)}
    assert wrong == {}


def test_the_table_of_commands_has_the_first_line_of_each_help():
    listed = {name: text for name, (_, text) in COMMANDS.items()}
    assert listed == {name: load(name).help.split("\n")[0] for name in COMMANDS}


def test_the_help_of_sarbench_lists_every_command(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, shown, _ = call_here("--help")
    assert status == 0
    for name, (_, text) in COMMANDS.items():
        assert any(name in line and text in line for line in shown.splitlines()), name


@pytest.mark.parametrize("group", ["grids", "methods"])
def test_a_list_in_a_pipe_has_a_line_for_each_name(group, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    status, shown, _ = call_here(group, "ls")
    names = bundled_grids() if group == "grids" else _registry.names()
    first = [line.split()[0] for line in shown.splitlines()]
    assert status == 0
    assert first[1 : len(names) + 1] == list(names)


def test_the_version_is_printed():
    status, shown, _ = call_here("--version")
    assert status == 0
    assert shown.startswith("sarbench 0.")
