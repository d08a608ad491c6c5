"""The measurements of bench_gpu.py run, with small numbers on a CPU."""

import json
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


@pytest.fixture
def steps(monkeypatch):
    """Return the modules of the measurements, for a small network on a CPU."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import bench_gpu
    import gpu_evaluation
    import gpu_steps

    for name, value in {
        "DEVICE": "cpu",
        "SIZE": "vit_nano",
        "BATCH": 4,
        "WARM": 1,
        "TIMED": 1,
    }.items():
        monkeypatch.setattr(gpu_steps, name, value)
    monkeypatch.setattr(gpu_evaluation, "SETS", {"made_up": (3, 9, 6, 32)})
    monkeypatch.setattr(gpu_evaluation, "SHOTS", (1, 2))
    monkeypatch.setattr(gpu_evaluation, "SEEDS", 2)
    monkeypatch.setattr(gpu_evaluation, "SUPPORT", 6)
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setenv("SARBENCH_COMPILE", "0")
    return bench_gpu, gpu_steps, gpu_evaluation


@pytest.mark.slow
def test_steps_of_training_and_evaluation_give_a_table(steps, monkeypatch):
    bench, training, evaluation = steps
    monkeypatch.setattr(evaluation, "settings_of", quick_settings(evaluation.settings_of))
    trained, evaluated = training.pretrain_step("sar_jepa"), evaluation.evaluate("mae")
    assert trained["chips_per_s"] == pytest.approx(4e3 / trained["step_ms"])
    assert trained["tflops"] == pytest.approx(trained["peak_share"] * 989)
    assert evaluated["runs"] == 8
    found = {
        "pretrain:sar_jepa": trained, "evaluate:mae": evaluated | {"wall_s": 90.0},
        "reference": {"chips_per_s": trained["chips_per_s"] / 3},
    }  # fmt: skip
    text = bench.table(
        {"device": "H200", "date": "today", "torch": "2", "steps": json.loads(json.dumps(found))}
    )
    assert "| sar_jepa | 4 |" in text
    assert "3.0 times as fast" in text
    assert "8 runs in 1.5 minutes" in text


def quick_settings(settings_of):
    def settings(protocol: str) -> dict:
        return settings_of(protocol) | {"epochs": 1, "warmup_epochs": 0}

    return settings


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # attention on a CPU
def test_seeds_of_few_shot_are_timed_apart_and_together(steps, monkeypatch):
    whole = steps[2].FewShot
    monkeypatch.setattr(steps[2], "FewShot", lambda **named: whole(**named | {"epochs": 1}))
    found = steps[2].few_shot_seeds()
    assert set(found) == {"bf16", "fp32"}
    assert all(0 < seconds < 60 for times in found.values() for seconds in times.values())


def test_flex_attention_as_measured_is_the_plain_one(steps):
    _, training, _ = steps
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 17, 8, generator=rng) for _ in range(3))
    table, buckets = torch.randn(8, 50, generator=rng), training.relative_buckets(17, q.device)

    def attend(q, k, v, score_mod):
        """Call a score function logit by logit."""
        logits = q @ k.mT / 8**0.5
        for place in torch.cartesian_prod(*map(torch.arange, logits.shape)):
            row, head, query, key = place
            logits[row, head, query, key] = score_mod(logits[row, head, query, key], *place)
        return logits.softmax(-1) @ v

    ours = training.flex(q, k, v, table, buckets, attend)
    torch.testing.assert_close(ours, training.plain_attention(q, k, v, table, buckets))


def test_without_a_gpu_it_says_so(steps, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py"])
    with pytest.raises(SystemExit) as ended:
        steps[0].main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said == "torch sees no GPU on this machine; run it on one that has a GPU"
