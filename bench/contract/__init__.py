"""Checks that every method must pass, and tools for whoever writes one."""
