"""Run the published code of the methods and store its results for `test_methods.py`.

cd tests && python -m parity.make_methods [METHOD ...] [--out FOLDER]

Each method needs a checkout of its repository, named by an environment variable; without one the
message says which. Nothing of a checkout is stored but numbers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from parity.checkouts import CHECKOUTS, MissingCheckoutError
from parity.frozen import FOLDER, save
from parity.reference_dmt_jepa import dmt_jepa_outcome
from parity.reference_hpm import hpm_outcome
from parity.reference_i_jepa import i_jepa_outcome
from parity.reference_joint import dino_outcome, vicreg_outcome
from parity.reference_lejepa import lejepa_outcome
from parity.reference_maskfeat import block_statistics, maskfeat_outcome
from parity.reference_methods import histograms, masked_outcome
from parity.reference_saratr_x import saratr_x_outcome
from parity.reference_sarmae import sarmae_outcome
from parity.reference_simmim import simmim_outcome

OUTCOMES = {  # of the others, `masked_outcome`
    "i_jepa": i_jepa_outcome, "dmt_jepa": dmt_jepa_outcome, "hpm": hpm_outcome,
    "simmim": simmim_outcome, "maskfeat": maskfeat_outcome, "speckle_mae": sarmae_outcome,
    "multi_scale_structure": saratr_x_outcome, "vicreg": vicreg_outcome, "dino": dino_outcome,
    "lejepa": lejepa_outcome,
}  # fmt: skip


def main() -> None:
    """Write the files of the methods that are named, or of all with a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", help=f"from {', '.join(CHECKOUTS)}")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    options = parser.parse_args()
    missing = False
    for name in options.methods or CHECKOUTS:
        try:
            draws, found = OUTCOMES[name]() if name in OUTCOMES else masked_outcome(name)
        except MissingCheckoutError as error:
            missing = True
            sys.stderr.write(f"{name}: {error}\n")
            continue
        if name == "fg_mae":
            np.save(options.out / "fg_mae_histograms.npy", histograms())
        if name == "maskfeat":
            np.savez_compressed(options.out / "maskfeat_masks.npz", **block_statistics())
        path = save(name, draws, found, options.out)
        sys.stdout.write(f"{path} ({path.stat().st_size / 1e3:.0f} kB)\n")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
