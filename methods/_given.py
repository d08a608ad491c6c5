"""Networks of given weights, for chips of one channel.

The weights stay as they are in the file, with all their input channels. A chip is the only input:
it is every channel, or one of them while the others hold their mean.
"""

from typing import Any

import torch
from jaxtyping import Float
from timm.layers.mlp import Mlp, SwiGLUPacked
from timm.layers.norm import LayerNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ._encoders import GivenConfig, TimmConfig
from ._linear import linear, replace_linear
from ._relative import RelativeBlock
from ._timm import TimmEncoder, timm_layers
from ._vit import patchify


class GivenEncoder(VisionTransformer):
    """A ViT whose weights have timm's names, from chips to tokens.

    Attributes:
        has_class_token: Whether token 0 is a class token.
        width: Length D of a token.
    """

    draws_own_weights = True  # by timm's rules, when the network is built

    @torch.random.fork_rng(devices=[])  # the weights are loaded, or drawn from a seeded state
    def __init__(
        self,
        config: GivenConfig,
        channels: int = 1,
        channel: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        """Build the network.

        Args:
            config: Its sizes.
            channels: Input channels of the patch embedding.
            channel: The one that a chip is given to; None = all.
            mean: Subtracted from each channel; None = 0.
            std: Divides each channel then; None = 1.
            drop_path: Rate of the last block.
        """
        relative = config.positions == "relative"
        super().__init__(
            img_size=config.input_px,
            patch_size=config.patch_px,
            in_chans=channels,
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
        )
        self.config = config
        self.has_class_token = config.class_token
        self.width = config.width
        self.channel, self.mean, self.std = channel, mean, std
        replace_linear(self)

    def layer_numbers(self) -> tuple[dict[str, int], int]:
        """Return the layer number of each weight by its name, and that of a head on top.

        The final norm has the head's number, as in MAE's and BEiT's fine-tuning.
        """
        numbers, head = timm_layers(self)
        return {n: head if n.startswith("norm.") else at for n, at in numbers.items()}, head

    @property
    def kind(self) -> str:
        """The kind of network, the same for all sizes."""
        if self.pos_embed is None:
            return "relative positions"
        return "stored positions" if self.has_class_token else "stored positions, no class token"

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride], chips and nothing else
        self, images: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1], without registers."""
        kernel, bias = self.kernel()
        tokens = linear(patchify(images, self.config.patch_px), kernel.flatten(1), bias)
        if self.pos_embed is not None and self.no_embed_class:
            tokens = tokens + self.pos_embed
        prefix = [one for one in (self.cls_token, self.reg_token) if one is not None]
        prefix = [one.expand(len(images), -1, -1).to(tokens.dtype) for one in prefix]
        tokens = torch.cat([*prefix, tokens], dim=1)
        if self.pos_embed is not None and not self.no_embed_class:
            tokens = tokens + self.pos_embed
        tokens = self.norm(self.blocks(tokens))
        if not self.config.registers:
            return tokens
        kept = int(self.has_class_token)
        return torch.cat([tokens[:, :kept], tokens[:, kept + self.config.registers :]], dim=1)

    def kernel(self) -> tuple[Float[Tensor, "D 1 p p"], Float[Tensor, " D"]]:
        """Return the kernel and the bias of the patch embedding for one channel.

        Patches are not padded, so the sum over channels of the kernel, divided by the deviations,
        gives the tokens of the normalised channels; the means become part of the bias. That costs a
        third of three channels.
        """
        weight: Any = self.patch_embed.proj.weight  # D C p p
        bias: Any = self.patch_embed.proj.bias
        if self.std is not None:
            weight = weight / weight.new_tensor(self.std)[:, None, None]
        # A channel that the chip is not given to holds its mean, which is 0 once it is normalised.
        used = slice(None) if self.channel is None else slice(self.channel, self.channel + 1)
        weight = weight[:, used]
        if self.mean is not None:
            bias = bias - weight.sum((2, 3)) @ weight.new_tensor(self.mean[used])
        return weight.sum(1, keepdim=True), bias


class GivenTimmEncoder(TimmEncoder):
    """A network of timm for given weights; its input are normalised channels."""

    def __init__(
        self,
        config: TimmConfig,
        channels: int = 1,
        channel: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        """Build the network; arguments as for `GivenEncoder`, errors as for `TimmEncoder`."""
        super().__init__(config, drop_path, channels)
        self.channels, self.channel, self.mean, self.std = channels, channel, mean, std

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of whole chips with values in [0, 1]."""
        return self.tokens(self.model(self.expand(images)))

    def expand(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H W"]:
        """Return the normalised channels of chips.

        Convolutions pad with zeros after the normalisation, so a kernel cannot be summed exactly.
        """
        images = images.expand(-1, self.channels, -1, -1)
        if self.mean is not None:
            images = images - images.new_tensor(self.mean)[:, None, None]
        if self.std is not None:
            images = images / images.new_tensor(self.std)[:, None, None]
        if self.channel is None:
            return images
        only = torch.zeros(self.channels, 1, 1, dtype=images.dtype, device=images.device)
        only[self.channel] = 1
        return images * only


def given_encoder(
    config: Any, encoder: GivenConfig | TimmConfig, drop_path: float = 0.0
) -> nn.Module:
    """Return the network of a `Given` configuration before its weights are loaded."""
    kind: Any = GivenTimmEncoder if isinstance(encoder, TimmConfig) else GivenEncoder
    return kind(
        encoder, config.channels, config.channel, config.mean, config.std, drop_path=drop_path
    )
