"""Compare a grid with the store, and estimate what is missing."""
