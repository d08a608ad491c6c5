"""Test chips of which a pool holds a copy, by image."""

from collections.abc import Sequence

import numpy as np

from ..data.chips import Chips
from ..data.pools import Pool
from .duplicates import find_duplicates
from .report import shared_chips


def copied_from(pool: Pool, datasets: Sequence[Chips]) -> list[int]:
    """Return, for each data set, the number of test chips of which the pool holds a duplicate.

    Args:
        pool: The drawn chips.
        datasets: The data sets.
    """
    members, rows = pool.places
    drawn = [
        one.take(np.isin(np.arange(len(one)), rows[rows[:, 0] == place, 1]), one.name)
        for place, one in enumerate(members)
    ]
    tested = [one.take(one.is_test, one.name) for one in datasets]
    counts = [len(one) for one in (*drawn, *tested)]
    set_of = np.repeat(np.arange(len(counts)), counts)
    in_pool = set_of < len(drawn)
    found = find_duplicates([*drawn, *tested], (in_pool, ~in_pool))
    equal, near = shared_chips(found, in_pool, ~in_pool)
    either = equal | near
    return [int(either[set_of == len(drawn) + place].sum()) for place in range(len(tested))]
