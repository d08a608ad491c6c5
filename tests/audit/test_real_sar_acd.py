"""The counts and groups of copies of SAR-ACD that are declared, by an audit of the real chips."""

import numpy as np
import pytest

from sarbench.bench.audit.collection import groups_of
from sarbench.bench.audit.duplicates import find_duplicates
from sarbench.bench.audit.report import shared_chips
from sarbench.bench.data.prepare import prepare
from sarbench.bench.data.registry import card
from sarbench.bench.data.sources import sar_acd


@pytest.mark.slow  # a minute
def test_declared_copies_of_sar_acd_are_those_of_an_audit(real_data, tmp_path):
    chips = prepare("sar_acd/six_classes", real_data, tmp_path).chips
    ids = list(map(str, chips.ids))
    found = find_duplicates([chips])
    count = len(ids)
    by_images = [sar_acd.groups()[i] for i in ids]
    links = [
        np.stack([np.arange(count), np.unique(group, return_index=True)[1][number]], axis=1)
        for group, number in (
            (values, np.unique(values, return_inverse=True)[1])
            for values in (by_images, found.group)
        )
    ]
    joined = groups_of(np.concatenate(links), count).tolist()
    listed = [sar_acd.groups("copies")[i] for i in ids]
    both = len(set(zip(joined, listed, strict=True)))
    assert len(set(joined)) == len(set(listed)) == both
    for name in ("sar_acd", "sar_acd/by_copies", "sar_acd/six_classes", "sar_acd/paper_random"):
        members = sar_acd.members(name)
        is_test = np.array([members.get(i, ("", False))[1] for i in ids])
        is_train = np.array([not members.get(i, ("", True))[1] for i in ids])
        equal, near = shared_chips(found, is_train, is_test)
        assert int((equal | near).sum()) == card(name).near_train, name
