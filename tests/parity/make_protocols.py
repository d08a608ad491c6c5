"""Run the paper's trainers and store their results for `test_protocols.py`.

cd tests && SARJEPA_REFERENCE=FOLDER python -m parity.make_protocols [--out FOLDER]

The folder is a checkout of waterdisappear/SAR-JEPA. Nothing of it is stored but numbers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from parity.checkouts import MissingCheckoutError
from parity.reference_protocols import TRAINERS, results

FOLDER = Path(__file__).parent / "protocols"


def main() -> None:
    """Write the files of both trainers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocols", nargs="*", help=f"from {', '.join(TRAINERS)}")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    options = parser.parse_args()
    for name in options.protocols or TRAINERS:
        try:
            found = results(name)
        except MissingCheckoutError as error:
            sys.exit(str(error))
        path = options.out / f"{name}.npz"
        np.savez_compressed(path, **found)
        sys.stdout.write(f"{path} ({path.stat().st_size / 1e3:.0f} kB)\n")


if __name__ == "__main__":
    main()
