"""Time the multi-scale ratio gradient against dense convolutions written from its formula.

Run: python tests/benchmarks/bench_targets.py
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from sarbench.bench.seeding import torch_stream
from sarbench.methods._gradients import multi_scale_ratio_gradient

RADII_PX = (5, 9, 13, 17)
CHIPS = 8
REPEATS = 5


def by_convolution(amplitude: Tensor) -> Tensor:
    """Return the same target by four dense kernels per radius."""
    norms = []
    for radius in RADII_PX:
        place = torch.arange(-radius, radius + 1)
        left = (place <= 0).to(amplitude).expand(len(place), -1)
        kernels = torch.stack([left, left.flip(1), left.T, left.T.flip(0)])[:, None]
        padded = functional.pad(amplitude, (radius,) * 4, mode="reflect") + 1e-2
        sums = [functional.conv2d(padded, kernel[None]) for kernel in kernels]
        ratios = torch.log(sums[0] / sums[1]), torch.log(sums[2] / sums[3])
        norms.append(torch.hypot(*ratios))
    return torch.cat(norms, dim=1)


def seconds(task: Callable[[], object]) -> float:
    """Return the shortest time of a few repeats, after one warm-up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Print the times, the ratio and the largest difference."""
    torch.set_num_threads(1)
    chips = torch.rand(CHIPS, 1, 224, 224, generator=torch_stream(0, "bench_targets"))
    exact = by_convolution(chips.double())
    ours = multi_scale_ratio_gradient(chips, RADII_PX)
    dense_s = seconds(lambda: by_convolution(chips))
    ours_s = seconds(lambda: multi_scale_ratio_gradient(chips, RADII_PX))
    print(f"dense convolutions  {1e3 * dense_s / CHIPS:8.1f} ms per chip of 224 px, one thread")
    print(f"ours                {1e3 * ours_s / CHIPS:8.1f} ms per chip")
    print(f"ratio               {dense_s / ours_s:8.1f}")
    print(f"largest difference  {(ours - exact).abs().max():8.1e} from double precision")


if __name__ == "__main__":
    main()
