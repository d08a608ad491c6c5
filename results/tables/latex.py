"""Sheets as a complete LaTeX document with booktabs tables."""

import unicodedata

from ..notes import by_subject
from .sheets import Entry, Sheet

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
    """Return a complete document, one table per sheet."""
    return PREAMBLE + "\n".join(map(latex_table, sheets)) + "\\end{document}\n"


def latex_table(sheet: Sheet) -> str:
    """Return a table environment."""
    columns = len(sheet.columns)
    lines_of = [line for section in sheet.sections for line in section]
    letters = sum(
        2 + max(len(entry.text) for entry in column) for column in zip(*lines_of, strict=True)
    )
    lines = [f"\\begin{{tabular}}{{l{'r' * columns}}}", "\\toprule"]
    for number, head in enumerate(sheet.heads):
        title = escape_latex(sheet.first_head) if number == len(sheet.heads) - 1 else ""
        parts, rules, at = [title], [], 2
        for text, span in head:
            parts.append(f"\\multicolumn{{{span}}}{{c}}{{{escape_latex(text)}}}")
            if text and number < len(sheet.heads) - 1:
                rules.append(f"\\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines.append(" & ".join(parts) + r" \\" + " ".join(rules))
    for section in sheet.sections:
        lines.append("\\midrule")
        lines += [" & ".join(map(_entry, line)) + r" \\" for line in section]
    lines += ["\\bottomrule", "\\end{tabular}"]
    tabular = "\n".join(lines)
    if letters > WIDE:
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


def _entry(entry: Entry) -> str:
    text = escape_latex(entry.text)
    if entry.place == 1:
        return f"\\textbf{{{text}}}"
    return f"\\underline{{{text}}}" if entry.place == 2 else text
