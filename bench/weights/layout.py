"""The layout of a family of files: its containers, its names, and the keys that are skipped."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
Tensors = Mapping[str, Tensor]
Rules = tuple[tuple[str, str], ...]

# Keys next to the container of the encoder, in any layout.
NEXT_TO_IT: Rules = (
    (r"(opt|optim|optimizer|optimizers)(\.|$)", "state of the optimiser"),
    (r"(scaler|loss_scaler|amp_scaler|grad_scaler|lr_scheduler|scheduler|rng_state)(\.|$)",
     "state of the training"),
    (r"(model_ema|ema|student|teacher)(\.|$)", "another copy of the weights"),
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A family of files. Names are those of timm's ViT once `renamed` is applied.

    Attributes:
        name: In identities and on the command line.
        title: For people.
        recognises: Whether a file has this layout.
        containers: Prefixes that are removed from names, without the dot; the first one that is
            found at each level. Keys outside it follow the rules `NEXT_TO_IT` and `outside`.
        skipped: Pattern of a name -> the reason to skip it.
        outside: The same for keys outside the container.
        renamed: Pattern of a name -> its name here. `NAME#0`, `NAME#1` are put one below the other.
        adapt: Changes the renamed tensors.
        three: Mean and deviation of three channels in the family's own code; None = not normalised.
        assumes: Whether `three` is assumed for a file, because other code writes the same names.
        class_row: Whether a table of positions always has a row for the class token, if there is
            one.
        family: Kind of network, as in `GivenConfig`.
        parts: Containers among which a person chooses; the first is the default.
    """

    name: str
    title: str
    recognises: Callable[[Tensors], bool]
    containers: tuple[str, ...] = ("model", "state_dict", "module")
    skipped: Rules = ()
    outside: Rules = ()
    renamed: Rules = ()
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    three: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    assumes: Callable[[Tensors], bool] = lambda tensors: False
    class_row: bool = True
    family: Literal["vit", "hivit"] = "vit"
    parts: tuple[str, ...] = ()

    def rename(self, name: str) -> str:
        """Return the name that a weight has here."""
        for pattern, replacement in self.renamed:
            name = re.sub(pattern, replacement, name)
        return name


def reason_for(name: str, rules: Rules) -> str | None:
    """Return the reason to skip a key, or None for a key that no rule names."""
    return next((reason for pattern, reason in rules if re.match(pattern, name)), None)


def has(names: Iterable[str], pattern: str) -> bool:
    """Return whether any name contains a pattern at the start of one of its parts."""
    found = re.compile(r"(^|\.)" + pattern)
    return any(found.search(name) for name in names)


def unwrap(names: Iterable[str], containers: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Remove containers from names.

    Returns:
        Short name -> name in the file; and the names outside the containers.
    """
    inside, outside = {name: name for name in names}, []
    while True:
        prefix = next((f"{one}." for one in containers
                       if any(name.startswith(f"{one}.") for name in inside)), None)  # fmt: skip
        if prefix is None:
            return inside, outside
        outside += [full for name, full in inside.items() if not name.startswith(prefix)]
        inside = {
            n.removeprefix(prefix): full for n, full in inside.items() if n.startswith(prefix)
        }
