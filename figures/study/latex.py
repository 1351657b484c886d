"""Tables for a paper: booktabs, every special character escaped."""

from __future__ import annotations

from figures.table import Table

__all__ = ["latex_table", "latex_text"]

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "±": r"$\pm$",
    "\n": " ",
}


def latex_text(text: str) -> str:
    """A text as LaTeX shows it, letter by letter."""
    return "".join(_ESCAPED.get(letter, letter) for letter in text)


def latex_table(table: Table, label: str) -> str:
    """A ``table`` environment with booktabs rules: first columns left, numbers right, the note as caption."""
    columns = "l" * table.keys + "r" * (len(table.header) - table.keys)
    lines = [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row(table.header),
        r"\midrule",
        *(_row(row) if row else r"\midrule" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{latex_text(f'{table.title}. {table.note}'.strip())}}}",
        rf"\label{{tab:{label}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    return " & ".join(latex_text(cell) for cell in cells) + r" \\"
