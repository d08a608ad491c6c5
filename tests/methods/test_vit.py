"""Encoder and masks against formulas, naive loops and timm itself."""

import math
from collections import Counter

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sarbench.bench.seeding import torch_stream
from sarbench.methods import _relative_positions
from sarbench.methods._encoders import (
    SIZES,
    EncoderConfig,
    EncoderError,
    encoder_named,
    predictor_shape,
)
from sarbench.methods._masking import (
    MaskingError,
    block_size,
    context_and_targets,
    hidden_except,
    place_blocks,
    random_order,
    windows,
)
from sarbench.methods._relative_positions import (
    BUCKETS,
    RelativeAttention,
    fused_attention,
    relative_buckets,
)
from sarbench.methods._vit import (
    Encoder,
    Predictor,
    Trunk,
    initialise,
    initialise_truncated,
    patchify,
    positions_of,
    sincos_positions,
    take,
)

SMALL = EncoderConfig("small", 32, 8, 24, 2, 3)
GRID = (14, 14)


def test_patches_run_row_by_row_and_channel_after_channel():
    images = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    patches = patchify(images, 2)
    assert patches.shape == (1, 6, 8)
    # Second patch of the second row: rows 2 and 3, columns 2 and 3 of both channels.
    assert patches[0, 4].tolist() == [14, 15, 20, 21, 38, 39, 44, 45]


def test_take_returns_the_tokens_at_the_index(rng):
    tokens = torch.rand(3, 5, 2, generator=rng)
    index = torch.tensor([[4, 0], [1, 1], [2, 3]])
    assert torch.equal(take(tokens, index), torch.stack([tokens[i, index[i]] for i in range(3)]))


def test_positions_follow_the_formula():
    positions = sincos_positions((3, 4), 8)
    for row in range(3):
        for column in range(4):
            wanted = []
            for place in (column, row):
                angles = [place / 10000 ** (i / 2) for i in range(2)]
                wanted += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            torch.testing.assert_close(positions[4 * row + column], torch.tensor(wanted))


def test_the_plain_encoder_is_timms(rng):
    ours = Encoder(SMALL).eval()
    initialise(ours, rng)
    with torch.random.fork_rng(devices=[]):
        timms = VisionTransformer(
            32, 8, 1, 0, global_pool="", embed_dim=24, depth=2, num_heads=3, no_embed_class=True
        ).eval()
    timms.load_state_dict({**ours.state_dict(), "pos_embed": ours.positions[None]})
    images = torch.rand(2, 1, 32, 32, generator=rng)
    torch.testing.assert_close(ours(images), timms(images), atol=1e-5, rtol=1e-5)


def test_embedding_some_patches_equals_embedding_all(rng):
    encoder = Encoder(SMALL)
    initialise(encoder, rng)
    images = torch.rand(2, 1, 32, 32, generator=rng)
    index = torch.tensor([[0, 15, 3], [7, 7, 1]])
    torch.testing.assert_close(encoder.embed(images, index), take(encoder.embed(images), index))


@pytest.mark.parametrize(
    ("distance", "bucket"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 3),
        (5, 3),
        (13, 3),
        (-1, -1),
        (-2, -2),
        (-3, -2),
        (-4, -3),
    ],
)
def test_relative_buckets_are_those_of_lomar(distance, bucket):
    buckets = relative_buckets(197, torch.device("cpu"))
    row, column = max(0, distance), 5  # 14 x 14 grid, `distance` rows below the key
    query, key = 14 * row + column, 14 * (row - distance) + column
    assert buckets[1 + query, 1 + key] == 7 * (bucket + 3) + 3
    query, key = 14 * 5 + row, 14 * 5 + row - distance
    assert buckets[1 + query, 1 + key] == 7 * 3 + bucket + 3


def test_pairs_with_the_class_token_have_the_last_bucket():
    buckets = relative_buckets(50, torch.device("cpu"))
    assert set(buckets[0].tolist() + buckets[:, 0].tolist()) == {BUCKETS - 1} == {49}
    assert buckets[1:, 1:].max() == 48


def test_relative_attention_refuses_tokens_that_do_not_form_a_square():
    with pytest.raises(ValueError, match="class token and a square of patches, got 49 tokens"):
        relative_buckets(49, torch.device("cpu"))


@pytest.mark.parametrize("side", [3, 7])
def test_relative_attention_agrees_with_a_naive_loop(rng, side):
    width, heads = 12, 3
    with torch.random.fork_rng(devices=[]):
        attention = RelativeAttention(width, heads).double()
    with torch.no_grad():
        for weight in attention.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng, dtype=torch.float64) * 0.3)
    count = side * side + 1
    x = torch.randn(2, count, width, generator=rng, dtype=torch.float64)
    qkv = x @ attention.qkv.weight.T + attention.qkv.bias
    size = width // heads
    out = torch.zeros_like(x)
    for row in range(2):
        for head in range(heads):
            q, k, v = (qkv[row, :, part * width + head * size :][:, :size] for part in range(3))
            for i in range(count):
                logits = torch.stack(
                    [
                        q[i] @ k[j] / math.sqrt(size)
                        + q[i] @ attention.relative[:, naive_bucket(i, j, side)]
                        for j in range(count)
                    ]
                )
                out[row, i, head * size : (head + 1) * size] = logits.softmax(0) @ v
    wanted = out @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(x), wanted)
    heads_first = qkv.reshape(2, count, 3, heads, size).permute(2, 0, 3, 1, 4)
    buckets = relative_buckets(count, x.device)
    fused = fused_attention(*heads_first, attention.relative, buckets).transpose(1, 2).flatten(2)
    torch.testing.assert_close(fused, out)


def naive_bucket(i: int, j: int, side: int) -> int:
    if 0 in (i, j):
        return 49
    steps = []
    for a, b in zip(divmod(i - 1, side), divmod(j - 1, side), strict=True):
        step = {0: 0, 1: 1, 2: 2, 3: 2}.get(abs(a - b), 3)
        steps.append(step if a > b else -step)
    return 7 * (steps[0] + 3) + steps[1] + 3


def test_the_relative_table_is_trained(rng):
    encoder = Encoder(SMALL, "relative")
    initialise(encoder, rng)
    encoder(torch.rand(2, 1, 32, 32, generator=rng)).square().sum().backward()
    tables = [w for name, w in encoder.named_parameters() if name.endswith("relative")]
    assert len(tables) == SMALL.depth
    assert all(table.shape == (8, BUCKETS) and table.grad.any() for table in tables)


def test_relative_positions_serve_any_square_of_patches(rng):
    encoder = Encoder(SIZES["vit_nano"], "relative")
    initialise(encoder, rng)
    assert encoder.encode(torch.rand(2, 49, 64, generator=rng)).shape == (2, 50, 64)
    assert encoder(torch.rand(2, 1, 112, 112, generator=rng)).shape == (2, 197, 64)


def test_weights_are_drawn_as_mae_draws_them(rng):
    encoder = Encoder(SIZES["vit_tiny"])
    initialise(encoder, rng)
    for weight, fans in (
        (encoder.patch_embed.proj.weight, 256 + 192),  # seen as a matrix
        (encoder.blocks[0].attn.qkv.weight, 192 + 576),
        (encoder.blocks[3].mlp.fc2.weight, 768 + 192),
    ):
        bound = math.sqrt(6 / fans)
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not encoder.blocks[0].attn.qkv.bias.any()
    assert encoder.norm.weight.eq(1).all()
    assert encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.2)


def test_weights_are_drawn_as_i_jepa_draws_them(rng):
    encoder = Encoder(SIZES["vit_tiny"], class_token=False)
    initialise_truncated(encoder, rng, [encoder.blocks])
    assert encoder.blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for number, block in enumerate(encoder.blocks, start=1):
        for weight in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * number), rel=0.02)


def test_a_bound_that_torch_2_11_draws_is_no_weight(rng, monkeypatch):
    def drawn(weight, **options):
        with torch.no_grad():
            weight.fill_(0.01).view(-1)[:2] = torch.tensor([2.0, -2.0])

    monkeypatch.setattr(nn.init, "trunc_normal_", drawn)
    encoder = Encoder(SMALL, class_token=False)
    initialise_truncated(encoder, rng, [])
    assert encoder.blocks[0].attn.qkv.weight.abs().max().item() == pytest.approx(0.01)


def test_a_weight_without_a_rule_is_refused(rng):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

    with pytest.raises(ValueError, match=r"no rule to draw .*gain"):
        initialise(Odd(), rng)


def test_drop_path_rises_with_depth_and_changes_no_name():
    plain, dropping = Encoder(SMALL), Encoder(SMALL, drop_path=0.2)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    assert dropping.blocks[1].drop_path1.drop_prob == pytest.approx(0.2)


def test_the_predictor_of_the_paper_is_8_blocks_of_512():
    base = SIZES["vit_base"]
    shape = predictor_shape(base)
    with torch.device("meta"):
        predictor = Predictor(base.width, 1024, shape, "relative")
    assert len(predictor.blocks) == 8
    assert predictor.predict.weight.shape == (1024, 512)
    assert predictor.blocks[0].attn.relative.shape == (32, 50)
    assert isinstance(predictor, Trunk)


def test_an_encoder_can_be_trained_after_it_was_used_in_inference_mode(rng):
    encoder = Encoder(SMALL, "relative")
    initialise(encoder, rng)
    images = torch.rand(2, 1, 32, 32, generator=rng)
    _relative_positions._cached_buckets.cache_clear()
    with torch.inference_mode():
        encoder(images)
    encoder(images).sum().backward()


# Masks


def test_random_orders_are_permutations_that_differ(rng):
    order = random_order(50, 196, rng)
    assert torch.equal(order.sort(1).values, torch.arange(196).expand(50, -1))
    assert len({tuple(row.tolist()) for row in order}) == 50


def test_all_patches_except_the_visible_are_hidden():
    mask = hidden_except(torch.tensor([[0, 2], [3, 1]]), 4)
    assert mask.tolist() == [[False, True, False, True], [True, False, True, False]]


def test_windows_are_squares_in_distinct_rows_and_columns(rng):
    patches = windows(GRID, 7, 4, 100, rng, 16)
    assert patches.shape == (400, 49)
    top, left = patches[:, 0] // 14, patches[:, 0] % 14
    square = (top[:, None] + torch.arange(7))[:, :, None] * 14
    square = square + (left[:, None] + torch.arange(7))[:, None]
    assert torch.equal(patches, square.flatten(1))
    for starts in (top, left):
        of_image = starts.reshape(100, 4)
        assert all(len(set(row.tolist())) == 4 for row in of_image)
        assert set(starts.tolist()) == set(range(8))
    # Every image has its own windows.
    assert len({tuple(row.tolist()) for row in patches[:, 0].reshape(100, 4)}) > 90


def test_too_many_windows_are_refused(rng):
    with pytest.raises(MaskingError, match="need 240 px or more, and one window needs 112 px"):
        windows(GRID, 7, 9, 2, rng, 16)


@pytest.mark.parametrize(
    ("side", "fit"), [(9, r"or set windows = 1 \(up to 3 fit\) in"), (7, "or set windows = 1 in"),
                      (6, "below 80 px with windows = 1 in")],
)  # fmt: skip
def test_a_message_about_windows_names_inputs_and_numbers_that_fit(rng, side, fit):
    with pytest.raises(
        MaskingError, match=f"need 80 px or more, and .* 56 px; use such an input, {fit}"
    ):
        windows((side, side), 7, 4, 2, rng, 8)
    with pytest.raises(MaskingError):  # one window more than fits
        windows((side, side), 7, max(side - 7 + 2, 1), 2, rng, 8)
    if side >= 7:
        assert windows((side, side), 7, side - 6, 2, rng, 8).shape == (2 * (side - 6), 49)


def test_block_sizes_stay_within_scale_and_aspect():
    for seed in range(200):
        height, width = block_size(GRID, (0.15, 0.2), (0.75, 1.5), torch_stream(seed))
        assert 0.15 * 196 * 0.85 <= height * width <= 0.2 * 196 * 1.1  # sides are rounded
        assert 0.6 <= height / width <= 1.75
        height, width = block_size(GRID, (0.85, 1.0), (1.0, 1.0), torch_stream(seed))
        assert height == width == 13


def test_blocks_are_rectangles_at_every_allowed_place(rng):
    patches = place_blocks((5, 6), (3, 4), 500, rng)
    seen = Counter(patches[:, 0].tolist())
    # The largest offset is exclusive, as in the source: rows 0-1, columns 0-1.
    assert set(seen) == {0, 1, 6, 7}
    assert min(seen.values()) > 80
    wanted = [row * 6 + column for row in range(3) for column in range(4)]
    assert torch.equal(patches - patches[:, :1], torch.tensor(wanted).expand(500, -1))


def test_a_context_shares_no_patch_with_its_targets():
    for seed in range(20):
        context, targets = context_and_targets(
            GRID, 16, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), 10, torch_stream(seed)
        )
        assert targets.shape[0] == 64
        assert context.shape[0] == 16
        assert context.shape[1] >= 10
        for image in range(16):
            seen = context[image].tolist()
            hidden = set(targets[4 * image : 4 * image + 4].flatten().tolist())
            assert sorted(set(seen)) == seen
            assert not hidden & set(seen)


def is_rectangle(patches: list[int], columns: int) -> bool:
    rows, places = {p // columns for p in patches}, {p % columns for p in patches}
    sides = max(rows) - min(rows) + 1, max(places) - min(places) + 1
    return len(set(patches)) == len(patches) == sides[0] * sides[1]


def test_a_short_context_is_drawn_again_and_never_overlaps_a_target():
    # On 6 x 6 patches most draws leave too few. Every square of one side minus the targets of an
    # image is built here by hand; the context must be the beginning of one of them.
    side, least = 6, 11
    for seed in range(40):
        context, targets = context_and_targets(
            (side, side), 8, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), least, torch_stream(seed)
        )
        for image in range(8):
            blocks = targets[4 * image : 4 * image + 4].tolist()
            assert all(is_rectangle(block, side) for block in blocks)
            hidden, found = {patch for block in blocks for patch in block}, context[image].tolist()
            assert not hidden & set(found)
            allowed = []
            for top in range(side):
                for left in range(side):
                    square = [
                        row * side + column
                        for row in range(top, min(top + 5, side))
                        for column in range(left, min(left + 5, side))
                    ]
                    kept = [patch for patch in square if patch not in hidden]
                    if len(square) == 25 and len(kept) >= least:
                        allowed.append(kept[: len(found)])
            assert found in allowed


def test_a_context_that_cannot_be_found_is_an_error(rng):
    with pytest.raises(MaskingError, match="no context of 150 patches"):
        context_and_targets(GRID, 2, 4, (0.15, 0.2), (0.75, 1.5), (0.85, 1.0), 150, rng)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("vit_nano@80", (80, 8, 64, 3, 4)),
        ("vit_base@112", (112, 16, 768, 12, 12)),
        ("vit:128x4x4@112/8", (112, 8, 128, 4, 4)),
    ],
)
def test_an_encoder_is_named_by_its_sizes(name, sizes):
    assert encoder_named(name) == EncoderConfig(name, *sizes)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vit_nano@81", "use 80 px or 88 px"),
        ("vit_nano@4", "use 8 px"),
        ("vit_nano@112", "use its other name, 'vit_nano'"),
        ("vit:64x3x4@80/8", "use its other name, 'vit_nano@80'"),
        ("vit:130x4x4@112/8", "multiple of 4 and of its heads"),
        ("vit:128x0x4@112/8", "all 1 or more"),
    ],
)
def test_an_encoder_that_cannot_be_built_or_has_another_name_is_refused(name, says):
    with pytest.raises(EncoderError, match=says):
        encoder_named(name)


@pytest.mark.parametrize("name", ["vit_huge", "vit_nano@", "vit:128x4x4", "vit_nano@80/8"])
def test_other_names_are_not_encoders_of_ours(name):
    assert encoder_named(name) is None


def test_hidden_patches_are_replaced_before_positions_are_added(rng):
    encoder = Encoder(SMALL)
    initialise(encoder, rng)
    images, token = torch.rand(2, 1, 32, 32, generator=rng), torch.full((1, 1, 24), 7.0)
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[0, 3] = mask[1, 8] = True
    whole, found = encoder.embed(images), encoder.embed(images, hidden=(mask, token))
    assert torch.equal(found[~mask], whole[~mask])
    torch.testing.assert_close(found[mask], 7 + encoder.positions[[3, 8]])


def test_positions_of_a_smaller_crop_are_those_of_bicubic_interpolation():
    table = sincos_positions((4, 4), 24)
    found = positions_of(table, torch.zeros(1, 1, 16, 24), 8)
    square = table.reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(square, (2, 3), mode="bicubic", align_corners=False)
    torch.testing.assert_close(found, expected[0].flatten(1).T)
    assert positions_of(table, torch.zeros(1, 1, 32, 32), 8) is table


def test_a_small_crop_is_encoded(rng):
    encoder = Encoder(SMALL)
    initialise(encoder, rng)
    assert encoder(torch.rand(2, 1, 16, 16, generator=rng)).shape == (2, 1 + 4, 24)
