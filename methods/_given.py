"""Networks of given weights, for chips of one channel.

The weights stay as they are in the file, with all their input channels (`_channels.py`).
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from timm.layers.mlp import Mlp, SwiGLUPacked
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ._channels import ONE_CHANNEL, InputChannels
from ._encoders import AnyEncoder, GivenConfig, InputConfig, TimmConfig
from ._hivit import HiViTEncoder
from ._linear import linear, replace_linear
from ._relative_positions import RelativeBlock
from ._timm import TimmEncoder, vit_layers
from ._vit import Hidden, patchify, positions_of, replaced, take


class GivenEncoder(VisionTransformer):
    """A ViT whose weights have timm's names, from chips to tokens.

    Attributes:
        has_class_token: Whether token 0 is a class token.
        width: Length D of a token.
    """

    draws_own_weights = True  # by timm's rules, when the network is built

    @torch.random.fork_rng(devices=[])  # the weights are loaded, or drawn from a seeded state
    def __init__(
        self, config: GivenConfig, channels: InputChannels = ONE_CHANNEL, drop_path: float = 0.0
    ) -> None:
        """Build the network; `drop_path` is the rate of the last block."""
        relative = config.positions == "relative"
        super().__init__(
            img_size=config.input_px,
            patch_size=config.patch_px,
            in_chans=channels.channels,
            num_classes=0,
            global_pool="",
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=(config.hidden + 0.5) / config.width,  # timm rounds the product down
            qkv_bias=config.qkv_bias,
            init_values=1.0 if config.layer_scale else None,
            class_token=config.class_token,
            pos_embed="none" if relative else "learn",
            no_embed_class=config.registers > 0 or not config.class_token,
            reg_tokens=config.registers,
            drop_path_rate=drop_path,
            norm_layer=LayerNorm,
            act_layer=nn.SiLU if config.gated else nn.GELU,
            block_fn=RelativeBlock if relative else Block,
            mlp_layer=SwiGLUPacked if config.gated else Mlp,  # pyright: ignore[reportArgumentType]
            weight_init="skip" if torch.get_default_device().type == "meta" else "",  # no values
        )
        self.config = config
        self.has_class_token = config.class_token
        self.width = config.width
        self.channels = channels
        replace_linear(self)

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Return the layer number of each weight by its name, and that of a head on top."""
        return vit_layers(self)

    @property
    def kind(self) -> str:
        """The kind of network, the same for all sizes."""
        if self.pos_embed is None:
            return "relative positions"
        return "stored positions" if self.has_class_token else "stored positions, no class token"

    def embed(
        self,
        images: Float[Tensor, "B 1 H W"],
        patches: Int[Tensor, "B V"] | None = None,
        hidden: Hidden | None = None,
    ) -> Float[Tensor, "B V D"]:
        """Return the embeddings of the given patches of each image, or of all patches.

        Their positions in a table are included. Arguments as for `Encoder.embed`.
        """
        kernel, bias = self.channels.kernel(self.patch_embed.proj)
        pixels = patchify(images, self.config.patch_px)
        if patches is not None:
            pixels = take(pixels, patches)
        tokens = replaced(linear(pixels, kernel.flatten(1), bias), hidden)
        if self.pos_embed is None:
            return tokens
        table = self.pos_embed[0, self._class_rows :]
        positions = positions_of(table, images, self.config.patch_px)
        return tokens + (positions if patches is None else positions[patches])

    def encode(self, patches: Float[Tensor, "R V D"]) -> Float[Tensor, "R N D"]:
        """Return the tokens of V embedded patches, after a class token if there is one."""
        prefix: list[Tensor] = [one for one in (self.cls_token, self.reg_token) if one is not None]
        if self.pos_embed is not None and self._class_rows:
            prefix[0] = prefix[0] + self.pos_embed[:, :1]
        prefix = [one.expand(len(patches), -1, -1).to(patches.dtype) for one in prefix]
        tokens = self.norm(self.blocks(torch.cat([*prefix, patches], dim=1)))
        if not self.config.registers:
            return tokens
        kept = int(self.has_class_token)
        return torch.cat([tokens[:, :kept], tokens[:, kept + self.config.registers :]], dim=1)

    @property
    def _class_rows(self) -> int:
        """The number of rows of the table of positions that belong to the class token."""
        return 0 if self.no_embed_class else int(self.has_class_token)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride], chips and nothing else
        self, images: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1], without registers."""
        return self.encode(self.embed(images))


class GivenTimmEncoder(TimmEncoder):
    """A network of timm for given weights; its input are normalised channels."""

    def __init__(
        self, config: TimmConfig, channels: InputChannels = ONE_CHANNEL, drop_path: float = 0.0
    ) -> None:
        """Build the network; errors as for `TimmEncoder`."""
        super().__init__(config, drop_path, channels.channels)
        self.channels = channels

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1].

        Convolutions pad with zeros after the normalisation, so a kernel cannot be summed exactly.
        """
        return self.tokens(self.model(self.channels.expand(images)))


def given_encoder(
    encoder: GivenConfig | TimmConfig, channels: InputChannels, drop_path: float = 0.0
) -> nn.Module:
    """Return the network of a file before its weights are loaded."""
    if isinstance(encoder, TimmConfig):
        return GivenTimmEncoder(encoder, channels, drop_path)
    kind = HiViTEncoder if encoder.family == "hivit" else GivenEncoder
    return kind(encoder, channels, drop_path)


def continues(encoder: AnyEncoder | None) -> bool:
    """Return whether an encoder is that of weights from which a pretraining continues."""
    return isinstance(encoder, GivenConfig | TimmConfig) and encoder.input is not None


def is_given(encoder: nn.Module) -> bool:
    """Return whether a network is one of those above."""
    return isinstance(encoder, GivenEncoder | GivenTimmEncoder | HiViTEncoder)


def continued_encoder(encoder: GivenConfig | TimmConfig, drop_path: float) -> nn.Module:
    """Return the network from whose weights a pretraining continues, before they are loaded."""
    return given_encoder(encoder, InputChannels.of(encoder.input or InputConfig()), drop_path)


@torch.no_grad()
def load_first_weights(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load given weights as the first ones of a training.

    A table of positions stays as it is in the training, as the fixed positions of our own ViTs do.
    """
    encoder.load_state_dict(weights, strict=True)
    for table in position_tables(encoder):
        table.requires_grad_(False)


def position_tables(encoder: nn.Module) -> list[nn.Parameter]:
    """Return the tables of positions of a network; ViTs of timm have one too."""
    named = encoder.named_parameters()
    return [weight for name, weight in named if name.rpartition(".")[2] == "pos_embed"]
