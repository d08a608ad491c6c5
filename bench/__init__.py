"""Experiments: grid, plan, pretraining, evaluation, execution, SLURM, store, data, command line."""

if __name__ != "sarbench.bench":
    raise ImportError(f"import sarbench.bench, not {__name__} (install with: pip install -e .)")
