import subprocess
import sys
from math import cos, pi

import pytest

from sarbench.protocols import PROTOCOLS
from sarbench.protocols._settings import BadSettingsError, FewShot, Finetune, Linear


def test_each_protocol_has_its_module() -> None:
    assert list(PROTOCOLS) == ["few_shot", "linear", "logistic", "finetune", "lora", "knn"]
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.version >= 1
        assert callable(protocol.load().run)


def test_labels_are_what_each_protocol_allows() -> None:
    allowed = {name: (p.allows_shots, p.allows_all) for name, p in PROTOCOLS.items()}
    assert allowed == {
        "few_shot": (True, False),
        "linear": (True, True),
        "logistic": (True, True),
        "finetune": (False, True),
        "lora": (True, True),
        "knn": (True, True),
    }


def test_a_plan_can_read_the_protocols_without_torch() -> None:
    code = (
        "import sys, sarbench.protocols as p, sarbench.protocols._support_sets as e;"
        "p.PROTOCOLS['linear'].settings(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("settings", [FewShot(), Linear()])
def test_the_papers_schedule_is_that_of_its_code(settings: FewShot | Linear) -> None:
    rates = [settings.lr_at(epoch) for epoch in range(40)]
    assert rates[:2] == [1e-5, 1e-5]
    for epoch in range(2, 40):
        assert rates[epoch] == pytest.approx(0.5e-3 * (1 + cos(pi * (epoch - 2) / 40)))
    assert rates[2] == pytest.approx(1e-3)
    assert rates[22] == pytest.approx(0.5e-3)
    assert rates[39] == pytest.approx(1.4e-5, rel=0.02)
    assert settings.lr_at(7.9) == rates[7]  # constant within an epoch


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("KNN(whiten=1)", "whiten is 1; it must be true or false"),
        ("Linear(steps=2.5)", "steps is 2.5; it must be a whole number of 1 or more"),
    ],
)
def test_settings_without_a_default_value_are_checked_for_their_type(given, message) -> None:
    # In another process, because in this one the type checker of the tests answers first.
    code = f"from sarbench.protocols._settings import *; {given}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"BadSettingsError: {message}" in done.stderr


@pytest.mark.parametrize(("chips", "each"), [(100, 2), (149, 2), (50, 1), (7, 1)])
def test_the_length_is_the_full_batches_of_all_epochs(chips: int, each: int) -> None:
    rates = list(FewShot().rates(chips))
    assert rates == [[FewShot().lr_at(epoch)] * each for epoch in range(40)]
    assert FewShot().step_count(chips) == 40 * each


def test_a_length_in_steps_is_the_same_for_any_number_of_chips() -> None:
    settings = FewShot(steps=163)
    for chips, each in ((100, 2), (400, 8), (10, 1)):
        rates = list(settings.rates(chips))
        assert [len(part) for part in rates[:-1]] == [each] * (163 // each - (163 % each == 0))
        flat = [rate for part in rates for rate in part]
        assert len(flat) == settings.step_count(chips) == 163
        # The cosine has 40 levels, of which the first two are the warm-up.
        assert flat == [settings.lr_at(40 * step // 163) for step in range(163)]


@pytest.mark.parametrize("kind", [FewShot, Linear])
def test_steps_and_other_epochs_are_two_lengths(kind: type[FewShot | Linear]) -> None:
    with pytest.raises(BadSettingsError, match="steps is 80 and epochs is 20, but both"):
        kind(steps=80, epochs=20)
    with pytest.raises(BadSettingsError, match="steps is 0; it must be a whole number of 1"):
        kind(steps=0)


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0), (2.5, 2.5e-4), (5, 5e-4), (27.5, 2.5e-4), (50, 0)]
)
def test_fine_tuning_warms_up_and_falls_to_zero(epoch: float, rate: float) -> None:
    assert Finetune().lr_at(epoch) == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize("name", ["epochs", "batch", "eval_batch"])
def test_settings_that_train_nothing_are_refused(name: str) -> None:
    for kind in (FewShot, Finetune):
        with pytest.raises(BadSettingsError, match=f"{name} is 0; it must be 1 or more"):
            kind(**{name: 0})


def test_unknown_words_in_settings_are_refused_with_those_allowed() -> None:
    code = "from sarbench.protocols._settings import *; {}"  # past beartype, as users are
    for call, message in {
        "KNN(readout='cls')": "readout is 'cls'; allowed: default, class, patch_mean",
        "FewShot(precision='fp16')": "precision is 'fp16'; allowed: fp32, bf16",
    }.items():
        done = subprocess.run(
            [sys.executable, "-c", code.format(call)], capture_output=True, text=True, check=False
        )
        assert f"BadSettingsError: {message}" in done.stderr


def test_few_shot_and_linear_share_the_papers_settings() -> None:
    for settings in (FewShot(), Linear()):
        assert (settings.epochs, settings.batch, settings.betas) == (40, 50, (0.9, 0.999))
        assert (settings.weight_decay, settings.readout) == (5e-4, "default")
    assert (FewShot().head_std, Linear().head_std, Linear().norm_eps) == (2e-5, 0.01, 1e-6)
