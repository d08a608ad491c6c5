"""What it means: records, statistics, leaderboards, tables."""

if __name__ != "sarbench.results":
    raise ImportError(f"import sarbench.results, not {__name__} (install with: pip install -e .)")
