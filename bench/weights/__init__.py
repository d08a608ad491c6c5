"""Given weights: files of encoders that were pretrained elsewhere."""
