"""Evaluate an encoder under a protocol."""
