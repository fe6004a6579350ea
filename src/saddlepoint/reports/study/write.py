"""The report of a study as files: tables, figures, a Markdown page and one HTML page."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from saddlepoint.errors import InputError
from saddlepoint.files import write
from saddlepoint.progress import Progress
from saddlepoint.reports.study.figures import LeftOut, study_figures
from saddlepoint.reports.study.findings import findings, is_nine_defences
from saddlepoint.reports.study.formats import TextTable, csv_text, latex, markdown
from saddlepoint.reports.study.names import slugs
from saddlepoint.reports.study.page import configuration, page
from saddlepoint.reports.study.sections import (
    LEADING_TABLE,
    DrawnFigure,
    DrawnTable,
    Section,
    sections,
)
from saddlepoint.reports.study.tables import accuracy_table, significance_table, variants_table
from saddlepoint.reports.study.tables_budgets import (
    by_budget_table,
    mcnemar_table,
    timings_table,
)
from saddlepoint.reports.style import figure_bytes
from saddlepoint.studies.results import StudyResults

TABLES: Mapping[str, Callable[[StudyResults, str], TextTable]] = MappingProxyType(
    {
        LEADING_TABLE: accuracy_table,
        "variants": variants_table,
        "significance": significance_table,
        "by-budget": by_budget_table,
        "mcnemar": mcnemar_table,
        "timings": timings_table,
    }
)
"""The tables of a report for each attack, by the name of their files."""


@dataclass(frozen=True)
class ReportFiles:
    """What `write_report` wrote.

    Attributes:
        index: the HTML page.
        markdown: the same as Markdown, with links to the figures.
        tables: the LaTeX and CSV files.
        figures: the PDF and PNG files.
        left_out: the tables and figures that are not there, and why.

    >>> ReportFiles(Path("index.html"), Path("report.md"), (), (), ()).index.name
    'index.html'
    """

    index: Path
    markdown: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    left_out: tuple[str, ...]


def write_report(
    results: StudyResults,
    out: Path,
    *,
    figures: Collection[str] | None = None,
    dpi: int = 150,
    pdf: bool = True,
    progress: Progress | None = None,
) -> ReportFiles:
    """Write the report of what a study has found so far into the folder `out`.

    `index.html` holds everything; `report.md`, `tables/*.tex`, `tables/*.csv` and
    `figures/NAME.pdf` and `.png` hold it in parts. Accuracy against eps comes first; the findings
    and figures of the nine-defences report come last, and only where the study is the nine
    defences. Cells that are missing, failed or damaged are listed before everything. Files of an
    earlier report with the same names are replaced, each whole.

    Args:
        results: of the study.
        out: the folder, made where it is not there.
        figures: the names of the figures to draw, see `study_figures`; None is all that apply.
        dpi: pixels per inch of the PNG files; 150 is sharp in print, and small enough for one page.
        pdf: whether each figure is written as a PDF too.
        progress: is told of each figure.

    Raises `InputError` where no evaluation is finished, `OutputError` where the disk refuses.

    >>> import tempfile
    >>> from saddlepoint.reports.study.toy import toy_results
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_report(toy_results(), Path(folder), figures=("success",))
    ...     [path.name for path in files.figures]
    ['success.pdf', 'success.png']
    """
    if results.evaluations.num_rows == 0:
        raise InputError(
            f"no evaluation of the study '{results.name}' is finished; run it further, then report"
        )
    notes: list[str] = []
    written: list[Path] = []
    tables = _tables(results, notes)
    for each in tables:
        written.append(write(out / "tables" / f"{each.name}.tex", latex(each.table)))
        written.append(write(out / "tables" / f"{each.name}.csv", csv_text(each.table)))

    missing: list[LeftOut] = []
    shown: list[DrawnFigure] = []
    drawn: list[Path] = []
    for name, figure, caption, theirs in study_figures(
        results, only=figures, left_out=missing.append, progress=progress
    ):
        png = figure_bytes(figure, dpi=dpi)
        if pdf:
            drawn.append(write(out / "figures" / f"{name}.pdf", figure_bytes(figure, "pdf")))
        drawn.append(write(out / "figures" / f"{name}.png", png))
        shown.append(DrawnFigure(name, caption, png, theirs))

    judged = findings(results) if is_nine_defences(results) else []
    parts = sections(tables, shown, judged, missing, notes)
    return ReportFiles(
        write(out / "index.html", page(results, parts)),
        write(out / "report.md", _markdown(results, parts)),
        tuple(written),
        tuple(drawn),
        (*notes, *map(str, missing)),
    )


def _tables(results: StudyResults, notes: list[str]) -> list[DrawnTable]:
    found = []
    for i, (attack, ending) in enumerate(slugs(results.attacks).items()):
        for name, build in TABLES.items():
            full = name if i == 0 else f"{name}-{ending}"
            try:
                found.append(DrawnTable(full, build(results, attack)))
            except InputError as error:
                notes.append(f"table '{full}' is left out: {error}")
    return found


def _markdown(results: StudyResults, parts: Sequence[Section]) -> str:
    lines = [f"# {_plain(results.title)}", *_unfinished(results)]
    for part in parts:
        lines += [f"## {part.heading}", *map(_plain, part.notes)]
        if part.findings:
            lines.append(
                "\n".join(
                    f"- **{f.verdict.capitalize()}:** {_plain(f.statement)} {_plain(f.evidence)}"
                    for f in part.findings
                )
            )
        for each in part.figures:
            lines.append(f"![{_plain(each.alternative)}](figures/{each.name}.png)")
            lines.append(f"**Figure {each.number}.** {_plain(each.caption)}")
        lines += [markdown(one.table).strip() for one in part.tables]
        if part.left_out:
            lines.append("Left out here:")
            lines.append("\n".join(f"- {_plain(line)}" for line in part.left_out))
    lines += ["## Configuration", f"```yaml\n{configuration(results).strip()}\n```"]
    return "\n\n".join(lines) + "\n"


def _unfinished(results: StudyResults) -> list[str]:
    if results.complete:
        return []
    lines = ["**This study is not finished.** What follows is computed from the finished cells."]
    groups = {
        "Not finished": list(results.missing),
        "Damaged and set aside": list(results.damaged),
        "Failed": [f"{label}: {error}" for label, error in results.failed.items()],
    }
    for heading, labels in groups.items():
        if labels:
            lines.append(f"{heading} ({len(labels)}):")
            lines.append("\n".join(f"- {_plain(label)}" for label in labels))
    return lines


def _plain(text: str) -> str:
    """Text in which Markdown sees nothing but text."""
    return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", " ".join(text.split()))
