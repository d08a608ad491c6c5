"""Write the table of differences from the published code into docs/papers.md.

cd tests && python -m parity.methods_table
"""

from parity.frozen import FOLDER, LIMITS, differences
from parity.our_methods import CASES
from sarbench.methods import get

PAGE = FOLDER.parents[2] / "docs" / "papers.md"
START, END = "<!-- cd tests && python -m parity.methods_table -->\n", "<!-- end -->"


def table() -> str:
    """Return the largest difference of each method and quantity in Markdown."""
    lines = ["| method | " + " | ".join(LIMITS) + " |", "|---|" + "---|" * len(LIMITS)]
    for name in CASES:
        found = differences(name)
        cells = (
            f"{found[kind]:.0e}".replace("0e+00", "0") if kind in found else "" for kind in LIMITS
        )
        lines.append(f"| {get(name).label} | " + " | ".join(cells) + " |")
    limits = " | ".join(f"{limit:.0e}" for limit in LIMITS.values())
    return "\n".join([*lines, f"| limit of the test | {limits} |"])


def main() -> None:
    """Write the table between its two comments."""
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    after = rest[rest.index(END) :]
    PAGE.write_text(f"{before}{START}\n{table()}\n\n{after}", "utf-8")


if __name__ == "__main__":
    main()
