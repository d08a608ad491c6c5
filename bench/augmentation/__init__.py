"""Resize, crop, flip and change the contrast of batches of chips; conditions of test chips."""
