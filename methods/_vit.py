"""The ViT encoder, based on timm's VisionTransformer, and the blocks of predictors."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from timm.layers.norm import LayerNorm
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ._encoders import EncoderConfig
from ._linear import linear, replace_linear
from ._relative_positions import RelativeBlock
from ._timm import vit_layers

Positions = Literal["absolute", "relative"]


Hidden = tuple[Bool[Tensor, "B N"], Float[Tensor, "1 1 D"]]  # a mask, the token of hidden patches


class Encoder(VisionTransformer):
    """A ViT from chips to tokens.

    Attributes:
        has_class_token: Whether token 0 is a class token.
        width: Length D of a token.
        positions: Fixed sin-cos positions of the patches, or None where attention is relative.
    """

    positions: Tensor | None

    @torch.random.fork_rng(devices=[])  # timm draws weights that `initialise` draws again
    def __init__(
        self,
        config: EncoderConfig,
        positions: Positions = "absolute",
        class_token: bool = True,
        drop_path: float = 0.0,
        standardise: tuple[float, float] | None = None,
    ) -> None:
        """Build the network; `initialise` draws its weights.

        `standardise` is a mean, which is subtracted from pixels, and a deviation, which divides
        them.
        """
        super().__init__(
            img_size=config.input_px,
            patch_size=config.patch_px,
            in_chans=1,
            num_classes=0,
            global_pool="",
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            class_token=class_token,
            pos_embed="none",
            drop_path_rate=drop_path,
            weight_init="skip",
            norm_layer=LayerNorm,
            block_fn=RelativeBlock if positions == "relative" else Block,
        )
        self.has_class_token = class_token
        self.width = config.width
        self.standardise = standardise
        fixed = None
        if positions == "absolute":
            fixed = sincos_positions(config.patch_grid, config.width)
        self.register_buffer("positions", fixed, persistent=False)
        replace_linear(self)

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Return the layer number of each weight by its name, and that of a head on top."""
        return vit_layers(self)

    @property
    def kind(self) -> str:
        """The kind of network, the same for all sizes."""
        if not self.has_class_token:
            return "no class token"
        return "relative positions" if self.positions is None else "absolute positions"

    def embed(
        self,
        images: Float[Tensor, "B 1 H W"],
        patches: Int[Tensor, "B V"] | None = None,
        hidden: Hidden | None = None,
    ) -> Float[Tensor, "B V D"]:
        """Return the embeddings of the given patches of each image, or of all patches.

        Absolute positions are included. Those of images of another size than `input_px`, such as
        small crops, are resampled.

        Args:
            images: Chips or crops, whose sides are multiples of a patch.
            patches: Index of the patches.
            hidden: Without `patches`: a mask (B, N), and the token that replaces the embedding of
                each patch where it is True, before positions are added.
        """
        if self.standardise:
            images = (images - self.standardise[0]) / self.standardise[1]
        px = self.patch_embed.patch_size[0]
        pixels = patchify(images, px)
        if patches is not None:
            pixels = take(pixels, patches)
        # As one matrix product, the strided convolution is several times faster on a CPU.
        projection = self.patch_embed.proj
        tokens = replaced(linear(pixels, projection.weight.flatten(1), projection.bias), hidden)
        if self.positions is None:
            return tokens
        positions = positions_of(self.positions, images, px)
        return tokens + (positions if patches is None else positions[patches])

    def encode(self, patches: Float[Tensor, "R V D"]) -> Float[Tensor, "R N D"]:
        """Return the tokens of V embedded patches, after a class token if there is one."""
        if self.cls_token is not None:
            class_tokens = self.cls_token.expand(len(patches), -1, -1)
            patches = torch.cat([class_tokens.to(patches.dtype), patches], dim=1)
        return self.norm(self.blocks(patches))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride], chips and nothing else
        self, images: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1]."""
        return self.encode(self.embed(images))


class Trunk(nn.Module):
    """The layers of predictors and decoders: a linear layer, blocks, LayerNorm, a linear layer."""

    def __init__(
        self, inputs: int, outputs: int, shape: tuple[int, int, int], positions: Positions
    ) -> None:
        """Build the layers from tokens of length `inputs` to `outputs` values.

        `shape` is (width, depth, heads). The caller adds absolute positions.
        """
        super().__init__()
        width, depth, heads = shape
        self.embed = nn.Linear(inputs, width)
        block = RelativeBlock if positions == "relative" else Block
        self.blocks = nn.Sequential(
            *(block(width, heads, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth))
        )
        self.norm = LayerNorm(width)
        self.predict = nn.Linear(width, outputs)
        replace_linear(self)

    def decode(self, tokens: Float[Tensor, "R N W"]) -> Float[Tensor, "R N P"]:
        """Return the values of embedded tokens."""
        return self.predict(self.norm(self.blocks(tokens)))


class Predictor(Trunk):
    """Layers from each token to P values."""

    def forward(self, tokens: Float[Tensor, "R N D"]) -> Float[Tensor, "R N P"]:
        """Return the values of the encoder's tokens."""
        return self.decode(self.embed(tokens))


def patchify(images: Float[Tensor, "B C H W"], patch_px: int) -> Float[Tensor, "B N P"]:
    """Cut images into patches, row by row; the values of a patch are channel after channel."""
    batch, channels, height, width = images.shape
    rows, columns = height // patch_px, width // patch_px
    patches = images.reshape(batch, channels, rows, patch_px, columns, patch_px)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def take(tokens: Float[Tensor, "B N D"], index: Int[Tensor, "B V"]) -> Float[Tensor, "B V D"]:
    """Return the tokens at `index`, row by row."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def replaced(tokens: Float[Tensor, "B N D"], hidden: Hidden | None) -> Float[Tensor, "B N D"]:
    """Return tokens with that of each hidden patch replaced."""
    if hidden is None:
        return tokens
    mask, token = hidden
    return torch.where(mask[..., None], token.to(tokens.dtype), tokens)


def positions_of(
    table: Float[Tensor, "N D"], images: Float[Tensor, "B 1 H W"], patch_px: int
) -> Float[Tensor, "M D"]:
    """Return a table of positions of a square of patches, resampled if images have another size.

    As in DINO's code: bicubic, without antialiasing.
    """
    rows, columns = (side // patch_px for side in images.shape[2:])
    side = math.isqrt(len(table))
    if (rows, columns) == (side, side):
        return table
    new = resample_abs_pos_embed(
        table[None], [rows, columns], [side, side], num_prefix_tokens=0, antialias=False
    )
    return new[0]


def sincos_positions(patch_grid: tuple[int, int], width: int) -> Float[Tensor, "N D"]:
    """Return fixed 2-D sin-cos positions, row by row: half for the column, half for the row.

    Each half is sin, then cos of position / 10000^(i / n), for i below n = width / 4 (MAE's code).
    """
    frequency = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in patch_grid)
    parts = [
        wave(axis.flatten()[:, None] * frequency)
        for axis in torch.meshgrid(columns, rows, indexing="xy")
        for wave in (torch.sin, torch.cos)
    ]
    return torch.cat(parts, dim=1).float()


@torch.no_grad()
def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Draw every weight as MAE's code does, from `rng`; networks of timm keep their weights.

    Matrices and the patch embedding are Xavier-uniform, biases 0, norms 1, tokens N(0, 0.02).
    Tables of relative positions stay 0.
    """

    def draw(weight: Tensor) -> None:
        nn.init.xavier_uniform_(weight.flatten(1), generator=rng)

    _initialise(module, rng, draw, lambda token: token.normal_(std=0.02, generator=rng))


@torch.no_grad()
def initialise_truncated(
    module: nn.Module, rng: torch.Generator, stacks: Sequence[Iterable[Any]]
) -> None:
    """Draw every weight as I-JEPA's code does: truncated normal with deviation 0.02.

    In block l = 1, 2, ... of each stack, the last matrices of attention and MLP are then divided
    by sqrt(2 l).
    """

    def draw(weight: Tensor) -> None:
        nn.init.trunc_normal_(weight, std=0.02, generator=rng)
        # five in 100 million values of torch 2.11 are a bound: 2, which is 100 deviations
        weight.masked_fill_(weight.abs() > 1, 0.0)

    _initialise(module, rng, draw, draw)
    for stack in stacks:
        for number, block in enumerate(stack, start=1):
            block.attn.proj.weight /= (2 * number) ** 0.5
            block.mlp.fc2.weight /= (2 * number) ** 0.5


def _initialise(
    module: nn.Module,
    rng: torch.Generator,
    draw: Callable[[Tensor], Any],
    draw_token: Callable[[Tensor], Any],
) -> None:
    drawn = [p for p, m in module.named_modules() if getattr(m, "draws_own_weights", False)]
    for path, part in module.named_modules():
        if any(path == one or path.startswith(f"{one}.") for one in drawn):
            continue
        for name, weight in part.named_parameters(recurse=False):
            if isinstance(part, nn.LayerNorm | nn.BatchNorm1d):
                weight.fill_(name == "weight")
            elif isinstance(part, nn.Linear | nn.Conv2d):
                draw(weight) if name == "weight" else weight.zero_()
            elif name.endswith("_token"):
                draw_token(weight)
            elif name != "relative":
                raise ValueError(
                    f"no rule to draw {path}.{name}; name a learned token *_token, and add other "
                    "weights after the call of `initialise`"
                )
