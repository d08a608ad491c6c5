"""Files of published encoders give the tokens of their authors' code.

`make_fixtures.py` computed the tokens; what is compared are the numbers of their code and ours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from parity.encoders.drawn import CHECKOUTS, chips, fixture, published
from sarbench.bench.given_file import Stated
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.bench.weights.given_weights import GivenWeights

HERE = Path(__file__).parent
LAYOUTS = {  # fixture -> layout, keys used
    "mae": ("mae", 30), "mae_1": ("mae", 30), "fg_mae_2": ("fg_mae", 30),
    "fg_mae_3": ("fg_mae", 30), "fg_mae_13": ("fg_mae", 30), "sar_jepa": ("sar_jepa", 31),
    "lomar": ("lomar", 31), "i_jepa_target_encoder": ("i_jepa", 29),
    "i_jepa_encoder": ("i_jepa", 29), "sarmae": ("sarmae", 30), "dinov2": ("dinov2", 34),
    "dinov2_registers": ("dinov2", 35), "dinov2_gated": ("dinov2", 34),
    "dinov2_chunked": ("dinov2", 35), "hivit": ("hivit", 59),
    "itpn": ("itpn", 71),
}  # fmt: skip


def given(name: str, folder: Path) -> GivenWeights:
    """Write the checkpoint of a fixture and read it."""
    path = folder / f"{name}.pth"
    torch.save(published(name), path)
    part = "encoder" if name == "i_jepa_encoder" else None
    return find_encoder(path, Stated(heads=3, part=part))


def test_every_fixture_is_compared():
    assert {path.stem for path in HERE.glob("*.npz")} == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_file_gives_the_tokens_of_its_authors_code(name, tmp_path):
    found = given(name, tmp_path)
    assert (found.layout, len(found.account.used)) == LAYOUTS[name]
    assert found.account.complete
    with torch.no_grad():
        tokens = found.network()(chips(found.encoder.input_px))
    expected = torch.from_numpy(fixture(name)["tokens"])
    assert tokens.shape == expected.shape
    assert expected.std() > 0.5  # drawn weights that change the tokens
    torch.testing.assert_close(tokens, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_tensor_of_a_published_file_is_used_or_skipped_for_a_reason(name, tmp_path):
    account = given(name, tmp_path).account
    skipped = [key for keys in account.skipped.values() for key in keys]
    keys = [".".join(map(str, path)) for path, _ in json.loads(str(fixture(name)["keys"]))]
    assert sorted([*account.used, *skipped]) == sorted(keys)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_authors_code_gives_the_frozen_tokens(name, tmp_path):
    source = max((one for one in CHECKOUTS if name.startswith(one)), key=len)
    variable, repository, _ = CHECKOUTS[source]
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no checkout of {repository}")
    script = str(HERE / "make_fixtures.py")
    words = [sys.executable, script, name, "--out", str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True)
    with np.load(tmp_path / f"{name}.npz") as made:
        np.testing.assert_allclose(made["tokens"], fixture(name)["tokens"], rtol=1e-6, atol=1e-5)
        assert str(made["keys"]) == str(fixture(name)["keys"])
