"""The abilities of a device: bf16, a compiler, enough memory, the same bits again.

A device without a compiler computes the same, more slowly. A device without bf16 is refused,
because the precision is part of a pretraining.
"""

import os
from collections.abc import Callable
from functools import cache

import torch
from timm.models.vision_transformer import Block
from torch import nn

from ...methods._relative_positions import RelativeBlock, relative_buckets

COMPILE = "SARBENCH_COMPILE"  # 0 switches the compiler off


class PrecisionError(ValueError):
    """A precision that the device does not have."""


class DeviceMemoryError(MemoryError):
    """A training that does not fit into the memory of its device."""


def check_precision(precision: str, device: str, warn: Callable[[str], None]) -> None:
    """Check that the device computes in bf16 if the pretraining does; warn if it only emulates it.

    Raises:
        PrecisionError: It does not.
    """
    if precision != "bf16" or torch.device(device).type != "cuda":
        return
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        emulated = native or torch.cuda.is_bf16_supported()
        name = torch.cuda.get_device_name()
    if not emulated:
        raise PrecisionError(
            f"precision is bf16, but {name} ({device}) does not compute in bf16; allowed there: "
            'fp32. Set precision = "fp32" under [pretrain] (another pretraining), or use a GPU '
            "from Ampere on"
        )
    if not native:
        warn(
            f"{name} ({device}) only emulates bf16, which is slower than fp32; the numbers are "
            "those of bf16"
        )


def compile_blocks(method: nn.Module, device: str, warn: Callable[[str], None]) -> bool:
    """Compile the transformer blocks of a method on a GPU, in place; return whether it was done.

    Weights keep their names. The numbers change by rounding only. Without a compiler the method
    stays as it is, with a message.
    """
    if torch.device(device).type != "cuda" or os.environ.get(COMPILE) == "0":
        return False
    if reason := missing_compiler(device):
        warn(
            f"the blocks are not compiled, so training is slower (the numbers are the same up to "
            f"rounding): {reason}. Install a C compiler, or set {COMPILE}=0 to skip this message"
        )
        return False
    compile_in_place(method)
    return True


def compile_in_place(method: nn.Module) -> None:
    """Let each transformer block compile itself at its first call."""
    import torch._dynamo
    import torch._inductor.config as inductor

    # Blocks compile once for each size of tokens and each mode; a block that cannot, runs as it is.
    torch._dynamo.config.suppress_errors = True
    if torch.are_deterministic_algorithms_enabled() and hasattr(inductor, "deterministic"):
        inductor.deterministic = True  # else kernels are chosen by their time
    torch.compiler.assume_constant_result(relative_buckets)
    for part in method.modules():
        if isinstance(part, Block):
            # The tables of relative positions are constants of one number of tokens.
            part.compile(dynamic=False if isinstance(part, RelativeBlock) else None)


@cache
def missing_compiler(device: str) -> str:
    """Return the reason for which torch cannot compile for a device; empty if it can."""
    import torch._dynamo

    def twice(values: torch.Tensor) -> torch.Tensor:
        return values * 2

    try:
        torch.compile(twice)(torch.ones(8, device=device))
    except Exception as error:  # torch raises many kinds: no Triton, no C compiler, an old GPU
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0][:200]}"
    finally:
        torch._dynamo.reset()
    return ""


def out_of_memory(
    error: torch.OutOfMemoryError, step: int, steps: int, device: str
) -> DeviceMemoryError:
    """Return the error of a training whose device ran out of memory."""
    return DeviceMemoryError(
        f"{device} ran out of memory at step {step + 1} of {steps}; the last checkpoint is kept. "
        "Use a GPU with more memory, or several GPUs, each of which takes a part of the batch "
        f"(torch: {str(error).splitlines()[0]})"
    )
