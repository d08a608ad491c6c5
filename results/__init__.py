"""Results: records, statistics, leaderboards, tables, figures, published values."""

if __name__ != "sarbench.results":
    raise ImportError(f"import sarbench.results, not {__name__} (install with: pip install -e .)")
