"""Fields that enter a key, and fields that do not."""

import json
from dataclasses import fields, replace
from hashlib import sha256

import pytest

from sarbench.bench.identity import RECIPES, Pretraining, Recipe, Resources, Run, from_json

PRETRAINING = Pretraining(
    method="mae", method_version=1, config={"mask_ratio": 0.75}, encoder={"name": "vit_nano"},
    precision="fp32", pool=[{"name": "synthetic", "digest": "d", "count": 10}], pool_cap=None,
    pool_fraction=1.0, recipe={"epochs": 2}, seed=0,
)  # fmt: skip
RUN = Run(
    start=PRETRAINING.key, method="mae", dataset="synthetic", data_digest="d", split_digest="s",
    protocol="linear", protocol_version=1, settings={"epochs": 40}, shots=10, seed=0,
)  # fmt: skip
SHIFTED = replace(RUN, condition="shift:4")
CONTINUED = replace(PRETRAINING, init={"digest": "w", "layout": "mae", "version": 1})
# Every field of every identity and of `Resources`; put a new field into one of these classes.
CHANGES_A_NUMBER = {
    "Pretraining": {
        "method", "method_version", "config", "encoder", "precision", "pool", "pool_cap",
        "pool_fraction", "recipe", "seed", "init", "at",
    },
    "Run": {
        "start", "method", "dataset", "data_digest", "split_digest", "protocol",
        "protocol_version", "settings", "shots", "seed", "condition",
    },
    "Recipe": {
        "epochs", "batch", "base_lr", "warmup_epochs", "weight_decay", "beta1", "beta2",
        "crop_scale_min", "crop_scale_max", "flip", "contrast", "lr_start_share", "lr_end_share",
        "weight_decay_end", "optimizer", "momentum", "schedule",
    },
}  # fmt: skip
CHANGES_NO_NUMBER = {"Resources": {"device", "threads", "checkpoint_s"}}


@pytest.mark.parametrize("kind", [Pretraining, Run, Recipe, Resources])
def test_every_field_is_named_in_one_class(kind):
    named = (CHANGES_A_NUMBER | CHANGES_NO_NUMBER)[kind.__name__]
    assert {field.name for field in fields(kind)} == named


def test_the_key_is_the_sha256_of_the_sorted_json():
    text = json.dumps(RUN.to_json(), sort_keys=True, separators=(",", ":"))
    assert RUN.key == sha256(text.encode()).hexdigest()


def test_a_run_on_clean_chips_has_no_condition_in_its_identity_and_keeps_its_key():
    assert "condition" not in RUN.to_json()
    # SHA-256 of the sorted JSON of its ten older fields
    assert RUN.key == "0ddcd01c952d4d1640a57c05380235c1dca34f7b0cc83230579bb3881d22a2ba"
    assert SHIFTED.to_json() == RUN.to_json() | {"condition": "shift:4"}


def test_a_pretraining_from_drawn_weights_has_no_init_in_its_identity_and_keeps_its_key():
    assert "init" not in PRETRAINING.to_json()
    # SHA-256 of the sorted JSON of its ten older fields
    assert PRETRAINING.key == "4f9fa1757a8285a5450e2ae3a7064577e6690c6e7cdf2f008fdf036f01a95c1a"
    assert CONTINUED.to_json() == PRETRAINING.to_json() | {"init": CONTINUED.init}


def another(value):
    """Return another value of the same type."""
    if value is None:
        return 7
    if isinstance(value, dict):
        return value | {"other": 1}
    if isinstance(value, list):
        return value + value
    return f"{value}x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("identity", [CONTINUED, SHIFTED])
def test_every_field_of_an_identity_changes_its_key(identity):
    for field in fields(identity):
        changed = replace(identity, **{field.name: another(getattr(identity, field.name))})
        assert changed.key != identity.key, field.name


def test_an_identity_survives_json():
    for run in (RUN, SHIFTED):
        again = from_json(Run, json.loads(json.dumps(run.to_json())))
        assert again == run
        assert again.key == run.key


def test_the_order_of_a_config_does_not_change_the_key():
    one = replace(PRETRAINING, config={"a": 1, "b": 2})
    other = replace(PRETRAINING, config={"b": 2, "a": 1})
    assert one.key == other.key


def test_the_paper_recipe_holds_the_papers_values():
    recipe = RECIPES["paper"]
    assert (recipe.epochs, recipe.batch, recipe.base_lr, recipe.warmup_epochs) == (
        200,
        300,
        1e-3,
        20,
    )
    assert (recipe.weight_decay, recipe.beta1, recipe.beta2) == (0.05, 0.9, 0.95)
    assert (recipe.crop_scale_min, recipe.crop_scale_max, recipe.contrast) == (0.2, 1.0, 0.5)
    assert recipe.base_lr * recipe.batch / 256 == pytest.approx(1.171875e-3)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 0}, {"batch": 1}, {"base_lr": 0.0}, {"crop_scale_min": 0.0}, {"contrast": 2.0}],
)
def test_a_recipe_that_cannot_be_trained_is_refused(values):
    with pytest.raises(ValueError, match="must be"):
        Recipe(**values)
