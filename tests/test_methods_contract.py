"""Every registered method keeps the contract; the checks themselves catch those who do not."""

import pytest

from sarbench.bench.method_checks import ALWAYS, TRAINED, Check, checks_for
from sarbench.methods import get, names


@pytest.mark.parametrize("check", ALWAYS + TRAINED, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", names())
def test_a_method_keeps_the_contract(name: str, check: Check):
    method = get(name)
    if check not in checks_for(method):
        pytest.skip(f"{name} is a control and is asked for no loss")
    check(method)


@pytest.mark.parametrize("name", names())
def test_no_method_skips_every_check(name: str):
    assert set(checks_for(get(name))) & set(ALWAYS)
