"""Published values, and their comparison with ours."""
