"""Duplicates of chips within a set, across its sides, and between two sets."""
