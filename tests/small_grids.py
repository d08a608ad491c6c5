"""A small grid, its data set and its methods, without torch."""

from pathlib import Path

from sarbench.bench.data.packed import Summary
from sarbench.bench.grid.expand import pretrainings, runs
from sarbench.bench.grid.schema import read_grid
from sarbench.bench.method_facts.method_info import MethodInfo

METHODS = {
    "mae": MethodInfo(
        "mae", "MAE", "", 1, False, False, True,
        ["few_shot", "linear", "finetune", "knn"], {"mask_ratio": 0.75, "norm_pix": False},
    ),
    "raw_pixels": MethodInfo(
        "raw_pixels", "raw pixels", "", 1, True, False, False, ["linear", "knn"], {}
    ),
    "random_init": MethodInfo(
        "random_init", "random", "", 1, True, False, True,
        ["few_shot", "linear", "finetune", "knn"], {},
    ),
}  # fmt: skip
TEXT = """
name = "test"
methods = ["mae"]
[pretrain]
encoder = "vit_nano"
[evaluate]
seeds = 3
[evaluate.protocols]
linear = [10, "all"]
knn = [10, "all"]
"""


def make_summary() -> Summary:
    return Summary(
        name="synthetic", kind="dataset", count=20, counts={"train": {"a": 10}, "test": {"a": 10}},
        data_digest="d" * 64, split_digest="s" * 64, rendering="", transform="full_scale",
        crop_px=None, dtype="uint8", classes=("a",),
    )  # fmt: skip


def grid_of(tmp_path: Path, text: str = TEXT):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return read_grid(path)


def spread(grid, summary):
    starts = pretrainings(grid, METHODS, lambda name: summary)
    return starts, runs(grid, starts, METHODS, lambda name: summary)
