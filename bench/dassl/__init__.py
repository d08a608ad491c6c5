"""Splits as files for other tools, and the adapter for Dassl (KaiyangZhou/Dassl.pytorch).

In a `train.py` of Dassl, `from sarbench.bench.dassl import register` and `register()`.
"""

from .registration import register as register
