"""A head on features predicts several sets of test chips, each as if it were the only one."""

import numpy as np
import pytest
import torch

from sarbench.bench.seeding import torch_stream
from sarbench.protocols import PROTOCOLS
from sarbench.protocols._types import Features

EPISODES = [np.arange(60), np.arange(30), np.arange(30, 60)]
SETTINGS = {"linear": {"epochs": 3}, "logistic": {}, "knn": {"neighbours": 3}}


def same(one, other) -> bool:
    return np.array_equal(one.classes, other.classes) and np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_head_predicts_each_set_of_test_chips_as_if_it_were_the_only_one(name: str) -> None:
    rng = torch_stream(0, "features")
    train, *tests = (torch.randn(n, 12, generator=rng) for n in (60, 700, 700, 700))
    protocol = PROTOCOLS[name]
    settings, work = protocol.settings(**SETTINGS[name]), protocol.load()

    def predicted(sets):
        rngs = [torch_stream(seed, "head") for seed in range(3)]
        return work.run(Features(train, torch.arange(60) % 4, sets, 4), EPISODES, rngs, settings)

    together, alone = predicted(tests), [predicted([test]) for test in tests]
    assert [len(of_episode) for of_episode in together] == [3, 3, 3]
    for episode, of_episode in enumerate(together):
        for number, found in enumerate(of_episode):
            assert same(found, alone[number][episode][0])
    assert not same(together[0][0], together[0][1])
