"""What is compared: one file is one pretraining method, found by its file name."""

if __name__ != "sarbench.methods":
    raise ImportError(f"import sarbench.methods, not {__name__} (install with: pip install -e .)")
