"""`python -m sarbench.bench.cli` is `sarbench`."""

from . import main

main()
