"""Published values and their comparison with measured ones."""
