"""Blocks of MaskFeat are distributed as those of the authors' code.

`make_methods.py` stores statistics of 20,000 of its masks.
"""

import numpy as np
from scipy.stats import chi2_contingency

from parity.frozen import FOLDER
from parity.our_methods import ENCODER
from sarbench.bench.seeding import torch_stream
from sarbench.methods.maskfeat import Config, block_masks, hidden_count

MASKS = 3000


def test_masks_have_the_distribution_of_the_published_code():
    wanted = hidden_count(Config(), ENCODER)
    drawn = block_masks(ENCODER.patch_grid, wanted, MASKS, torch_stream(0, "masks"))
    masks = drawn.reshape(MASKS, *ENCODER.patch_grid).numpy()
    with np.load(FOLDER / "maskfeat_masks.npz") as theirs:
        counts, shares, borders = theirs["counts"], theirs["shares"], float(theirs["borders"])
    # The number of hidden patches; those below 75 are rare and counted together.
    ours = np.bincount(masks.sum((1, 2)), minlength=wanted + 1)
    assert len(ours) == len(counts) == wanted + 1 == 79
    table = [[one[:75].sum(), *one[75:]] for one in (ours, counts)]
    assert chi2_contingency(table).pvalue > 0.01
    # How often each patch is hidden, in deviations of the difference of two shares.
    deviation = np.sqrt(shares * (1 - shares) * (1 / MASKS + 1 / counts.sum()))
    assert 0.8 < ((masks.mean(0) - shares) / deviation).std() < 1.2
    # The shape: borders between hidden and visible patches; single masks deviate by 5.
    found = (masks[:, 1:] != masks[:, :-1]).sum((1, 2))
    assert abs(found.mean() - borders) < 3 * found.std() / np.sqrt(MASKS)
