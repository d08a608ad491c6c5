"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

from sarbench.bench.seeding import torch_stream

torch.set_num_threads(1)  # the suite runs in parallel processes


@pytest.fixture
def rng() -> torch.Generator:
    """Return a fresh generator, the same for every test."""
    return torch_stream(0, "test")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real chips, or skip and say what is missing."""
    folder = os.environ.get("SARBENCH_DATA")
    if not folder or not (Path(folder) / "mstar").is_dir():
        pytest.skip("SARBENCH_DATA names no folder with real MSTAR chips (mstar/)")
    return Path(folder)
