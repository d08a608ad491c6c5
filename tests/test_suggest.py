"""The nearest name, which messages about an unknown name suggest."""

import pytest

from sarbench.bench.suggest import nearest, unknown

SETS = ["msar", "mstar_eoc_depression", "mstar_soc", "mstar_soc/all_serials", "synthetic"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mstar", "mstar_soc"), ("MSTAR", "mstar_soc"), ("mstar_e", "mstar_eoc_depression"),
     ("sintetic", "synthetic"), ("mstar_sac", "mstar_soc"), ("ms", "msar"), ("", None),
     ("zzz", None)],
)  # fmt: skip
def test_a_name_that_begins_as_typed_is_nearer_than_a_similar_one(name, expected):
    assert nearest(name, SETS) == expected


def test_the_message_names_the_nearest_and_all():
    assert unknown("data set", "mstar", SETS).startswith(
        "unknown data set 'mstar'. Did you mean 'mstar_soc'? Allowed: msar, mstar_eoc_depression, "
    )
