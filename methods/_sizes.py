"""Named encoder sizes; imports no torch, so that a grid is checked in an instant."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderConfig:
    """The network that a method pretrains: a ViT on a 14 x 14 patch grid, and its predictor.

    Attributes:
        name: Name in grids.
        input_px: Side of the square input.
        patch_px: Side of a patch.
        width: Length D of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
        predictor_width: Token length of the predictor or decoder.
        predictor_depth: Its number of blocks.
        predictor_heads: Its attention heads.
    """

    name: str
    input_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    predictor_width: int = 512  # paper: 8 x 512 with 16 heads at every encoder size
    predictor_depth: int = 8
    predictor_heads: int = 16

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.input_px // self.patch_px
        return side, side

    def scaled_px(self, at_224: int | float) -> float:
        """Return a length that the papers state at 224 px, at this input size."""
        return at_224 * self.input_px / 224


SIZES = {
    size.name: size
    for size in (
        EncoderConfig("vit_nano", 112, 8, 64, 3, 4, 64, 2, 4),
        EncoderConfig("vit_tiny", 224, 16, 192, 12, 3),
        EncoderConfig("vit_small", 224, 16, 384, 12, 6),
        EncoderConfig("vit_base", 224, 16, 768, 12, 12),
        EncoderConfig("vit_large", 224, 16, 1024, 24, 16),
    )
}
