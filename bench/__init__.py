"""Runs things: grid, plan, dispatch, pretraining, evaluation, store, data, command line."""

if __name__ != "sarbench.bench":
    raise ImportError(f"import sarbench.bench, not {__name__} (install with: pip install -e .)")
