"""Read, validate and expand grid files."""
