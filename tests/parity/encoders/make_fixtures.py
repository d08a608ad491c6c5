"""Write the frozen keys and tokens of published code: `python make_fixtures.py [NAME...]`.

Each name needs a checkout that an environment variable names; none of its code is in this project.
With `--checkpoints DIR` the whole checkpoints are written too, for `sarbench weights inspect`.
The weights are functions of their names (`drawn.py`), so a fixture holds only keys and shapes of
the checkpoint that the published code writes, and the tokens that it computes from the chips.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn import CHECKOUTS, chips, weight
from torch import Tensor, nn

HERE = Path(__file__).parent
SIZES = {"embed_dim": 48, "depth": 2, "num_heads": 3, "mlp_ratio": 4}
DECODER = {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 2}
PATCH, SIDE = 8, 4  # patches of 8 px, 4 x 4 of them
HIVIT_PATCH = 16  # the only one in the code of SARATR-X
FG_MAE_PATCH = 16  # its histograms are made for patches of 14 and 16 px
NORM = partial(nn.LayerNorm, eps=1e-6)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Made = tuple[dict[str, Any], Tensor]  # a checkpoint, and the tokens of the chips


def fill(network: nn.Module, place: str) -> nn.Module:
    """Set every weight to the one of its place in the checkpoint."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(weight(place + name, tuple(tensor.shape)))
    return network.eval()


def trained(network: nn.Module) -> dict[str, Any]:
    """Return the state of an optimiser after a step that changes nothing."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    for one in network.parameters():
        one.grad = torch.zeros_like(one)
    optimizer.step()
    return optimizer.state_dict()


def images(px: int, channels: int, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()):
    """Return the chips as normalised channels."""
    given = chips(px).expand(-1, channels, -1, -1)
    if not mean:
        return given
    return (given - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def without_masks(network: Any, pixels: Tensor) -> Tensor:
    """Return the tokens of MAE's pretraining code with no patch hidden, in the order of patches."""
    tokens, _, restore = network.forward_encoder(pixels, 0.0)
    patches = tokens[:, 1:].gather(1, restore[..., None].expand(-1, -1, tokens.shape[2]))
    return torch.cat([tokens[:, :1], patches], 1)


def mae(channels: int = 3) -> Made:
    module = importlib.import_module("models_mae")
    network = fill(module.MaskedAutoencoderViT(
        img_size=SIDE * PATCH, patch_size=PATCH, in_chans=channels, norm_layer=NORM,
        **SIZES, **DECODER,
    ), "model.")  # fmt: skip
    normalisation = IMAGENET if channels == 3 else ()
    tokens = without_masks(network, images(SIDE * PATCH, channels, *normalisation))
    return {"model": network.state_dict(), "optimizer": trained(network)}, tokens


def fg_mae(channels: int) -> Made:
    module = importlib.import_module("models.mae.models_mae")
    px = SIDE * FG_MAE_PATCH
    network = fill(module.MaskedAutoencoderViT(
        img_size=px, patch_size=FG_MAE_PATCH, in_chans=channels, norm_layer=NORM, feature="hog",
        **SIZES, **DECODER,
    ), "model.")  # fmt: skip
    return {"model": network.state_dict()}, without_masks(network, images(px, channels))


def relative(pretraining: str, channels: int, normalisation: tuple[Any, ...], **more: Any) -> Made:
    """SAR-JEPA and LoMaR: the pretraining's checkpoint, read by the authors' fine-tuning model."""
    module = importlib.import_module(pretraining)
    sizes = {"img_size": SIDE * PATCH, "patch_size": PATCH, "in_chans": channels} | SIZES
    network = fill(module.MaskedAutoencoderViT(norm_layer=NORM, **sizes, **more), "model.module.")
    state = network.state_dict()
    finetuned = importlib.import_module("models_vit_rp").VisionTransformer(
        norm_layer=NORM, qkv_bias=True, num_classes=0, **sizes
    )
    missing = finetuned.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise ValueError(f"the authors' own model misses {missing}")
    kept: list[Tensor] = []
    finetuned.norm.register_forward_hook(lambda _, __, tokens: kept.append(tokens))
    finetuned.eval().forward_features(images(SIDE * PATCH, channels, *normalisation))
    return {"model": {f"module.{name}": one for name, one in state.items()}}, kept[0]


def i_jepa(part: str) -> Made:
    module = importlib.import_module("src.models.vision_transformer")
    sizes = {"patch_size": PATCH, "norm_layer": NORM} | SIZES
    encoder = module.VisionTransformer(img_size=[SIDE * PATCH], **sizes)
    target = module.VisionTransformer(img_size=[SIDE * PATCH], **sizes)
    predictor = module.VisionTransformerPredictor(
        num_patches=SIDE**2, embed_dim=48, predictor_embed_dim=24, depth=1, num_heads=3,
        norm_layer=NORM,
    )  # fmt: skip
    networks = {"encoder": encoder, "predictor": predictor, "target_encoder": target}
    for name, one in networks.items():
        fill(one, f"{name}.module.")
    saved = {name: {f"module.{key}": tensor for key, tensor in one.state_dict().items()}
             for name, one in networks.items()}  # fmt: skip
    return saved | {"opt": trained(encoder), "epoch": 3, "loss": 0.5}, networks[part](
        images(SIDE * PATCH, 3, *IMAGENET)
    )


def sarmae() -> Made:
    mae_code = importlib.import_module("models.models_mae")
    network = mae_code.MaskedAutoencoderViT(
        img_size=SIDE * PATCH, patch_size=PATCH, in_chans=3, norm_layer=NORM, **SIZES, **DECODER
    )
    whole = importlib.import_module("models.mae_contrastive").SAROpticalPatchAlignment(
        network, patch_size=PATCH
    )
    fill(whole, "model.")
    half = ((0.5,) * 3, (0.5,) * 3)
    tokens = without_masks(network, images(SIDE * PATCH, 3, *half))
    return {"model": whole.state_dict(), "epoch": 3}, tokens


def dinov2(chunks: int, registers: int, gated: bool, teacher: bool) -> Made:
    module = importlib.import_module("dinov2.models.vision_transformer")
    network = fill(module.DinoVisionTransformer(
        img_size=SIDE * PATCH, patch_size=PATCH, init_values=1.0, block_chunks=chunks,
        num_register_tokens=registers, ffn_layer="swiglufused" if gated else "mlp", **SIZES,
    ), "teacher.backbone." if teacher else "")  # fmt: skip
    found = network.forward_features(images(SIDE * PATCH, 3, *IMAGENET))
    tokens = torch.cat([found["x_norm_clstoken"][:, None], found["x_norm_patchtokens"]], 1)
    if not teacher:
        return network.state_dict(), tokens
    head = importlib.import_module("dinov2.layers").DINOHead(48, 20, hidden_dim=16)
    teacher_state = {f"backbone.{name}": one for name, one in network.state_dict().items()}
    teacher_state |= {f"dino_head.{name}": one for name, one in head.state_dict().items()}
    return {"teacher": teacher_state}, tokens


def hierarchical(
    of_pretraining: tuple[str, str], of_classifier: tuple[str, str], normalisation: tuple[Any, ...],
    **more: Any,
) -> Made:  # fmt: skip
    """SARATR-X: the pretraining's checkpoint, read by the authors' encoder for a classifier."""
    px = SIDE * HIVIT_PATCH
    sizes = {"img_size": px, "embed_dim": 48, "num_heads": 3, "norm_layer": NORM, "rpe": False}
    module, name = of_pretraining
    network = getattr(importlib.import_module(module), name)(**sizes, **more, **DECODER)
    state = fill(network, "model.").state_dict()
    module, name = of_classifier
    encoder = getattr(importlib.import_module(module), name)(**sizes, **more, num_classes=0)
    missing = encoder.load_state_dict(
        {key: one for key, one in state.items() if not key.startswith("norm.")}, strict=False
    ).missing_keys
    if [key for key in missing if not key.startswith("fc_norm.")]:
        raise ValueError(f"the authors' own model misses {missing}")
    return {"model": state}, encoder.eval().forward_features(images(px, 3, *normalisation))


FIXTURES: dict[str, tuple[str, Callable[[], Made]]] = {  # name -> checkout, function
    "mae": ("mae", mae),
    "mae_1": ("mae", partial(mae, 1)),
    "fg_mae_2": ("fg_mae", partial(fg_mae, 2)),
    "fg_mae_3": ("fg_mae", partial(fg_mae, 3)),
    "fg_mae_13": ("fg_mae", partial(fg_mae, 13)),
    "sar_jepa": ("sar_jepa", partial(relative, "models_lomar", 1, (), **DECODER)),
    "lomar": ("lomar", partial(relative, "models_lomar", 3, IMAGENET)),
    "i_jepa_target_encoder": ("i_jepa", partial(i_jepa, "target_encoder")),
    "i_jepa_encoder": ("i_jepa", partial(i_jepa, "encoder")),
    "sarmae": ("sarmae", sarmae),
    "dinov2": ("dinov2", partial(dinov2, 0, 0, False, False)),
    "hivit": (
        "hivit",
        partial(
            hierarchical,
            ("models.models_hivit_mae", "HiViTMaskedAutoencoder"),
            ("models.models_hivit", "HiViT"),
            (),
            depths=[1, 1, 2],
            hifeat=True,
        ),
    ),
    "itpn": (
        "itpn",
        partial(
            hierarchical,
            ("models.models_itpn_mim", "iTPNMaskedAutoencoder"),
            ("models.models_itpn", "iTPN"),
            ((0.2109,) * 3, (0.2178,) * 3),
            mlp_depth=3,
            depth=2,
            fpn_dim=24,
        ),
    ),
    "dinov2_registers": ("dinov2", partial(dinov2, 0, 4, False, False)),
    "dinov2_gated": ("dinov2", partial(dinov2, 0, 0, True, False)),
    "dinov2_chunked": ("dinov2", partial(dinov2, 1, 4, False, True)),
}


def checkout(name: str) -> Path:
    """Return the folder of the published code, or say which variable to set."""
    variable, repository, folder = CHECKOUTS[name]
    given = os.environ.get(variable, "")
    if not (Path(given) / folder).is_dir() or not given:
        raise SystemExit(f"{variable} must name the folder of a checkout of {repository}")
    return Path(given) / folder


def modernise() -> None:
    """Add what the published code expects of older packages, and stubs of what it only imports."""
    warnings.simplefilter("ignore")
    os.environ["XFORMERS_DISABLED"] = "1"
    importlib.import_module("profile")  # two checkouts have a file of this name
    vars(np)["float"] = float  # of older NumPy
    vision = importlib.import_module("timm.models.vision_transformer")
    block = vision.Block

    def without_scale(*given: Any, qk_scale: None = None, **named: Any) -> nn.Module:
        return block(*given, **named)

    vision.Block = without_scale
    sys.modules["kornia"] = types.ModuleType("kornia")
    easydict: Any = types.ModuleType("easydict")
    easydict.EasyDict = type("EasyDict", (dict,), {"__getattr__": dict.__getitem__,
                                                   "__setattr__": dict.__setitem__})  # fmt: skip
    sys.modules["easydict"] = easydict


def paths(value: dict[Any, Any], above: tuple[Any, ...] = ()) -> list[Any]:
    """Return path and shape of each tensor in nested dicts."""
    found = []
    for key, one in value.items():
        if isinstance(one, Tensor):
            found.append(([*above, key], list(one.shape)))
        elif isinstance(one, dict):
            found += paths(one, (*above, key))
    return found


def make(name: str, out: Path, checkpoints: Path | None) -> None:
    source, function = FIXTURES[name]
    modernise()
    sys.path.insert(0, str(checkout(source)))
    saved, tokens = function()
    keys = json.dumps(paths(saved))
    np.savez_compressed(out / f"{name}.npz", tokens=tokens.detach().numpy(), keys=np.array(keys))
    if checkpoints:
        torch.save(saved, checkpoints / f"{name}.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *FIXTURES])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--checkpoints", type=Path)
    given = parser.parse_args()
    if len(given.names) == 1:
        make(given.names[0], given.out, given.checkpoints)
        return
    more = ["--out", str(given.out)]
    more += ["--checkpoints", str(given.checkpoints)] if given.checkpoints else []
    for name in given.names or FIXTURES:  # modules of two checkouts have equal names
        subprocess.run([sys.executable, __file__, name, *more], check=True)


if __name__ == "__main__":
    main()
