"""How it is measured: few_shot, linear, finetune, knn; fixed splits and support sets."""

if __name__ != "sarbench.protocols":
    raise ImportError(f"import sarbench.protocols, not {__name__} (install with: pip install -e .)")
