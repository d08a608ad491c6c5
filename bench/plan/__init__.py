"""A grid compared with the store, and the cost of what is missing."""
