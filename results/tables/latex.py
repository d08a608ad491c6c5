"""Sheets as a complete LaTeX document with booktabs tables."""

import unicodedata
from dataclasses import replace

from ..notes import by_subject
from .blocks import blocks
from .sheets import Entry, Sheet, wrapped

PREAMBLE = r"""% A complete document for pdflatex. For a paper, copy a table environment.
% It needs \usepackage{booktabs}; a wide one also needs \usepackage{graphicx}.
\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\pagestyle{empty}
\begin{document}
"""
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", "-": "{-}", "±": r"$\pm$",
    "[": "{[}",  # after \\ or \midrule it would begin a length
    "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$", "*": r"$^{*}$", "≥": r"$\geq$", "≤": r"$\leq$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--", "…": r"\dots{}",
}  # fmt: skip
WIDE = 88  # letters that fit on a line; a wider table is scaled down
WIDEST = 146  # letters of a table that is scaled to 60%; a wider one is several tables


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints unchanged; letters outside Latin are printed as [U+1234]."""
    out = []
    for sign in " ".join(text.split()):
        if sign in SPECIAL:
            out.append(SPECIAL[sign])
        elif sign.isascii():
            out.append(sign if sign.isprintable() else "")
        elif "LATIN" in unicodedata.name(sign, "") and ord(sign) < 0x180:
            out.append(sign)
        else:
            out.append(f"{{[}}U+{ord(sign):04X}]")
    return "".join(out)


def latex_document(sheets: list[Sheet]) -> str:
    """Return a complete document. A sheet is one table, or one for each of its blocks of columns.

    The caption stands above the first of them, notes below the last.
    """
    tables = []
    for sheet in sheets:
        parts = blocks(sheet, lambda part: _letters(part) <= WIDEST)
        first, last = parts[0], parts[-1]
        for part in parts:
            title = sheet.title if part is first else f"{sheet.title} (continued)"
            if len(parts) > 1 and part.title:
                title += f", {part.title}"
            tables.append(
                _table(
                    replace(
                        part,
                        title=title,
                        caption=sheet.caption if part is first else [],
                        notes=sheet.notes if part is last else [],
                    )
                )
            )
    return PREAMBLE + "\n".join(tables) + "\\end{document}\n"


def _letters(sheet: Sheet) -> int:
    """Return about how many letters a line of a table has."""
    titles = ["", *sheet.columns]
    lines = [line for section in sheet.sections for line in section]
    return sum(
        2 + max(len(text) for text in (*heads, *(entry.text for entry in column)))
        for heads, column in zip(
            [[line for text in title.split("\n") for line in wrapped(text)] for title in titles],
            zip(*lines, strict=True),
            strict=True,
        )
    )


def _table(sheet: Sheet) -> str:
    """Return a table environment."""
    columns = len(sheet.columns)
    lines = [f"\\begin{{tabular}}{{l{'r' * columns}}}", "\\toprule"]
    for number, head in enumerate(sheet.heads):
        title = escape_latex(sheet.first_head) if number == len(sheet.heads) - 1 else ""
        parts, rules, at = [title], [], 2
        for text, span in head:
            parts.append(f"\\multicolumn{{{span}}}{{c}}{{{_head(text, span)}}}")
            if text and number < len(sheet.heads) - 1:
                rules.append(f"\\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines.append(" & ".join(parts) + r" \\" + " ".join(rules))
    for section in sheet.sections:
        lines.append("\\midrule")
        lines += [" & ".join(map(_entry, line)) + r" \\" for line in section]
    lines += ["\\bottomrule", "\\end{tabular}"]
    tabular = "\n".join(lines)
    if _letters(sheet) > WIDE:
        tabular = f"\\resizebox{{\\textwidth}}{{!}}{{%\n{tabular}}}"
    caption = " ".join(escape_latex(text) for text in (f"{sheet.title}.", *sheet.caption))
    listed = "\\\\\n".join(
        f"\\textbf{{{subject}.}} {escape_latex(' '.join(texts))}"
        for subject, texts in by_subject(sheet.notes).items()
    )
    note = f"\n\n\\medskip\n\\parbox{{\\textwidth}}{{\\footnotesize\\raggedright {listed}}}\n"
    return (
        f"\\begin{{table}}[htbp]\n\\centering\n\\caption{{{caption}}}\n"
        f"{tabular}{note if listed else chr(10)}\\end{{table}}\n"
    )


def _head(text: str, span: int) -> str:
    """Return a text of a header on as many lines as it needs."""
    lines = r" \\ ".join(map(escape_latex, wrapped(text, span)))
    return f"\\shortstack{{{lines}}}" if r"\\" in lines else lines


def _entry(entry: Entry) -> str:
    text = escape_latex(entry.text)
    if entry.place == 1:
        return f"\\textbf{{{text}}}"
    return f"\\underline{{{text}}}" if entry.place == 2 else text
