"""Seconds and memory of the commands that people run most, on bundled grids and archives.

Each command runs once before it is measured, so that what a method can train is known. `--profile`
prints in which packages, and folders of sarbench, most of the time was spent instead.

    python tests/benchmarks/bench_commands.py [--data DIR] [--profile] [COMMAND...]
"""

import argparse
import os
import pstats
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench_results import measure

ROOT = Path(__file__).parents[2]
SMALL, FAMILIES = (
    str(ROOT / "results" / "archive" / f"{name}.zip") for name in ("real_small", "families")
)
COMMANDS = {
    "help": ["--help"],
    "methods ls": ["methods", "ls"],
    "methods check": ["methods", "check", "mae"],
    "plan ZIP": ["plan", SMALL],
    "table ZIP": ["table", SMALL],
    "table ZIP --gain": ["table", FAMILIES, "--gain"],
    "compare ZIP": ["compare", SMALL, "sar_jepa", "mae"],
    "paper ZIP": ["paper", SMALL],
    "check ZIP": ["check", FAMILIES],
    "submit-check": ["submit-check", FAMILIES],
    "cite": ["cite", "real_small"],
    "figure": ["report", SMALL, "--figure", "cost", "--out", "cost.svg"],
    "report ZIP": ["report", SMALL, "--out", "report"],
    "site": ["site", SMALL, FAMILIES, "--out", "site"],
}
WITH_DATA = {"data ls": ["data", "ls"], "plan a grid": ["plan", "real_small"]}
PART = re.compile(r".*/(?:site-packages/(\w+)|(bench|methods|protocols|results)/(\w+)).*")


def profile(name: str, words: list[str]) -> None:
    """Run a command and print the shares of its time by package, or by folder of sarbench."""
    command = [sys.executable, "-m", "cProfile", "-o", "profile", "-m", "sarbench.bench.cli"]
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    seconds: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats("profile").stats.items():  # pyright: ignore[reportAttributeAccessIssue]
        found = PART.fullmatch(file)
        where = "/".join(filter(None, found.groups())) if found else function
        seconds[where] += own
    whole = sum(seconds.values())
    shares = ", ".join(f"{part} {own / whole:.0%}" for part, own in seconds.most_common(5))
    print(f"{name:14} {whole:6.1f} s: {shares}")


def main() -> None:
    """Measure or profile each command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("commands", nargs="*", help="only these")
    parser.add_argument("--data", help="folder of the real chips")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    commands = COMMANDS | (WITH_DATA if options.data else {})
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SARBENCH_DATA": options.data or "data"}
    for name in options.commands or commands:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            command = [sys.executable, "-m", "sarbench.bench.cli", *commands[name]]
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            if options.profile:
                profile(name, commands[name])
            else:
                measure(name, commands[name], environment)


if __name__ == "__main__":
    main()
