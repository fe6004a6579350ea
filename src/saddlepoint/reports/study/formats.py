"""A table of text, and its forms: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from saddlepoint.errors import InputError

Cell = str | int | float | None


@dataclass(frozen=True)
class Numbers:
    """The numbers behind a table, at full precision, a row per thing that was measured.

    >>> Numbers(("variant", "mean"), (("original", 0.5),)).columns
    ('variant', 'mean')
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        _check_widths(self.columns, self.rows)


@dataclass(frozen=True)
class TextTable:
    """A table as it is read.

    Args:
        caption: what it shows.
        columns: their heads.
        rows: texts, as many in each as there are columns.
        notes: sentences below the table.
        numbers: what the CSV form holds; None for the texts themselves.

    Raises `InputError` for a row of another length.

    >>> TextTable("Two", ("a", "b"), (("1", "2"),)).notes
    ()
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    numbers: Numbers | None = None

    def __post_init__(self) -> None:
        _check_widths(self.columns, self.rows)

    @property
    def of_text(self) -> tuple[bool, ...]:
        """Which columns are read as text, from the left: the first, and those with words alone.

        >>> TextTable("Two", ("a", "b", "c"), (("1", "x", "2"), ("2", "y", "–"))).of_text
        (True, True, False)
        """
        cells = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        words = [any(not re.search(r"\d|^–?$", cell) for cell in each) for each in cells]
        return (True, *words[1:])


def _check_widths(columns: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...]) -> None:
    for row in rows:
        if len(row) != len(columns):
            raise InputError(f"a row has {len(row)} cells under {len(columns)} columns")


def markdown(table: TextTable) -> str:
    """Return the table in GitHub's Markdown, its caption above, its notes below.

    >>> print(markdown(TextTable("Two", ("a", "b"), (("x|y", "0.5 **"),), ("n = 2",))))
    **Two**
    <BLANKLINE>
    | a | b |
    |---|--:|
    | x\\|y | 0.5 ** |
    <BLANKLINE>
    n = 2
    <BLANKLINE>
    """
    head = [
        _line(table.columns),
        "|" + "".join("---|" if text else "--:|" for text in table.of_text),
        *(_line(row) for row in table.rows),
    ]
    parts = [f"**{_markdown_text(table.caption)}**", "\n".join(head)]
    parts += [_markdown_text(note) for note in table.notes]
    return "\n\n".join(parts) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_markdown_text(cell) for cell in cells) + " |"


def _markdown_text(text: str) -> str:
    # Stars at the end can open no emphasis, and everything that could be closed is escaped.
    body, end = re.fullmatch(r"(.*?)(\**)", " ".join(text.split())).groups()  # type: ignore[union-attr]
    escaped = re.sub(r"([\\`*_|~$]|<(?=[A-Za-z/!?])|(?<=\])\()", r"\\\1", body)
    return escaped + (end if body else end.replace("*", "\\*"))


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": "$<$", ">": "$>$", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$",
    "∞": r"$\infty$", "≈": r"$\approx$", "√": r"$\surd$", "²": r"$^2$",
    "ε": r"$\varepsilon$", "α": r"$\alpha$", "β": r"$\beta$", "δ": r"$\delta$", "λ": r"$\lambda$",
    "σ": r"$\sigma$", "μ": r"$\mu$", "κ": r"$\kappa$", "γ": r"$\gamma$", "τ": r"$\tau$",
    "–": "--", "—": "---", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''",
    "\u00a0": "~",
}  # fmt: skip


def latex(table: TextTable) -> str:
    r"""Return the table as a LaTeX float with booktabs rules; every special character is escaped.

    The document needs `\usepackage{booktabs}` and, for `"`, `\usepackage[T1]{fontenc}`.

    >>> print(latex(TextTable("1 %", ("a_1", "b"), (("x", "0.5 ± 0.1"),))))
    \begin{table}
    \centering
    \caption{1 \%}
    \small
    \begin{tabular}{lr}
    \toprule
    a\_1 & b \\
    \midrule
    x & 0.5 $\pm$ 0.1 \\
    \bottomrule
    \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    notes = [rf"\par\smallskip\footnotesize {_latex_text(note)}" for note in table.notes]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex_text(table.caption)}}}",
        r"\small",
        rf"\begin{{tabular}}{{{''.join('l' if text else 'r' for text in table.of_text)}}}",
        r"\toprule",
        _latex_line(table.columns),
        r"\midrule",
        *(_latex_line(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_line(cells: tuple[str, ...]) -> str:
    line = " & ".join(_latex_text(cell) for cell in cells)
    # After the \\ of the row before, a star or a bracket would be its argument.
    return ("{}" if line.startswith(("*", "[")) else "") + line + r" \\"


def _latex_text(text: str) -> str:
    return "".join(
        _LATEX.get(character, character) for character in re.sub(r"[ \t\r\n]+", " ", text)
    )


def csv_text(table: TextTable) -> str:
    r"""Return the numbers of the table as CSV, at full precision; the texts where it has none.

    A number that is not there is an empty field.

    >>> numbers = Numbers(("variant", "mean", "p"), (("a, b", 0.1 + 0.2, None),))
    >>> csv_text(TextTable("One", ("variant",), (("a, b",),), numbers=numbers))
    'variant,mean,p\n"a, b",0.30000000000000004,\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    content = table.numbers or table
    writer.writerow(content.columns)
    for row in content.rows:
        writer.writerow(["" if cell is None or cell != cell else cell for cell in row])
    return buffer.getvalue()
