"""Splits as files for other tools, and the adapter for Dassl (KaiyangZhou/Dassl.pytorch)."""
