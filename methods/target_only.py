"""Target only: no network; the feature is the middle of the chip (a control).

Hidden: nothing.
Predicted: nothing. The complement of `background`: its square is kept, and all else is left out.

Paper: none.
Source: none.
Differs from the source: nothing.
"""

from ._registry import register
from .background import Background


@register(label="Target only", paper="control", control=True)
class TargetOnly(Background):
    """Target and shadow without the rest of the chip."""

    Config = Background.Config
    inside = True
