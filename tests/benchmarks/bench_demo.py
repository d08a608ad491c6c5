"""Time `sarbench demo` in a fresh store: every method on the bundled data, end to end.

Run: python tests/benchmarks/bench_demo.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL_S = 300.0  # on two processor cores


def main() -> None:
    """Print the seconds, and the ratio to the goal."""
    command = Path(sys.executable).with_name("sarbench")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        began = time.monotonic()
        subprocess.run(
            [command, "demo", "--runs", folder], check=True, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        taken_s = time.monotonic() - began
    print(f"demo {taken_s:.0f} s ({taken_s / GOAL_S:.2f} of the goal)")


if __name__ == "__main__":
    main()
