"""Checks that every method must pass, and tools for writing one."""
