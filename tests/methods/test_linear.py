"""Linear layers on a CPU against torch's in double precision."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from sarbench.methods import SIZES, get, names
from sarbench.methods import _linear as module
from sarbench.methods._encoders import TimmConfig
from sarbench.methods._linear import Linear, linear
from sarbench.methods._timm import TimmEncoder


@pytest.fixture(autouse=True)
def any_size(monkeypatch) -> None:
    """Take oneDNN's product of small matrices, and on Intel's processors, too."""
    monkeypatch.setattr(module, "LEAST", 0)
    monkeypatch.setattr(module, "ONEDNN", module.AVAILABLE)


def values_and_gradients(product, x, weight, bias, upstream):
    """Return the result of a linear layer, and the gradients of all that have one."""
    leaves = [one for one in (x, weight, bias) if one is not None and one.requires_grad]
    result = product(x, weight, bias)
    return [result.detach(), *torch.autograd.grad(result, leaves, upstream.to(result.dtype))]


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("rows", [(1,), (7,), (3, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("widths", [(5, 33), (33, 5), (16, 16)], ids=str)
@pytest.mark.parametrize("trained", ["x weight bias", "weight bias", "weight", "x"])
def test_results_and_gradients_are_torchs(monkeypatch, rng, onednn, rows, widths, trained):
    monkeypatch.setattr(module, "ONEDNN", onednn and module.AVAILABLE)
    shapes = {"x": (*rows, widths[0]), "weight": widths[::-1], "bias": widths[1:]}
    exact = {
        name: torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=name in trained)
        for name, shape in shapes.items()
    }
    upstream = torch.randn(*rows, widths[1], generator=rng, dtype=torch.float64)
    single = {n: v.detach().float().requires_grad_(v.requires_grad) for n, v in exact.items()}
    wanted = values_and_gradients(functional.linear, **exact, upstream=upstream)
    found = values_and_gradients(linear, **single, upstream=upstream)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


def test_a_bias_may_be_missing_and_rows_may_be_strided(rng):
    x = torch.randn(6, 4, 8, generator=rng)
    weight = torch.randn(3, 8, generator=rng, requires_grad=True)
    upstream = torch.randn(4, 6, 3, generator=rng).transpose(0, 1)
    for rows in (x, x.transpose(0, 1).contiguous().transpose(0, 1), x[..., ::2].repeat(1, 1, 2)):
        found = values_and_gradients(linear, rows, weight, None, upstream)
        wanted = values_and_gradients(functional.linear, rows, weight, None, upstream)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_autocast_and_double_precision_are_torchs(rng):
    layer = Linear(8, 4)
    x = torch.randn(3, 8, generator=rng)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))
        assert layer(x).dtype == torch.bfloat16
    x, weight = x.double(), torch.randn(4, 8, generator=rng, dtype=torch.float64)
    assert torch.equal(linear(x, weight, None), functional.linear(x, weight))


@pytest.mark.skipif(not module.AVAILABLE, reason="torch has no oneDNN here")
def test_only_large_products_are_onednns(monkeypatch, rng):
    monkeypatch.setattr(module, "LEAST", 6 * 5 * 4)
    weight = torch.randn(4, 5, generator=rng, requires_grad=True)
    for rows, kind in ((6, "_OneDNNBackward"), (5, "AddmmBackward0")):
        bias = torch.zeros(4)
        found = linear(torch.randn(rows, 5, generator=rng), weight, bias)
        assert type(found.grad_fn).__name__ == kind


def test_operations_are_counted(rng):
    x = torch.randn(6, 5, generator=rng, requires_grad=True)
    counter = FlopCounterMode(display=False)
    with counter:
        Linear(5, 4)(x).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 6 * 5 * 4


HEADS = {"head", "target_head", "expander", "projector"}  # they see a row of each chip


@pytest.mark.parametrize("name", [name for name in names() if get(name).trains])
def test_the_blocks_of_every_method_have_such_layers(rng, name):
    more = {"classes": 2} if get(name).needs_labels else {}
    more |= {"chips": 2} if get(name).has_chip_state else {}
    method = get(name)(get(name).Config(), SIZES["vit_nano"], rng, **more)
    plain = {path for path, part in method.named_modules() if type(part) is nn.Linear}
    assert {path.split(".")[0] for path in plain} <= HEADS
    assert any(type(part) is Linear for part in method.encoder.modules())


def test_a_transformer_of_timm_has_such_layers():
    with torch.random.fork_rng(devices=[]):
        encoder = TimmEncoder(TimmConfig("timm:test_vit", 160))
    kinds = {type(part) for part in encoder.modules() if isinstance(part, nn.Linear)}
    assert kinds == {Linear}
