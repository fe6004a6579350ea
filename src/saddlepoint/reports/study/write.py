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
from saddlepoint.reports.study.figures import LeftOut, slug, study_figures
from saddlepoint.reports.study.findings import Finding, findings
from saddlepoint.reports.study.formats import TextTable, csv_text, latex, markdown
from saddlepoint.reports.study.page import PageFigure, configuration, page
from saddlepoint.reports.study.tables import significance_table, variants_table
from saddlepoint.reports.study.tables_budgets import (
    by_budget_table,
    mcnemar_table,
    timings_table,
)
from saddlepoint.reports.style import figure_bytes
from saddlepoint.studies.results import StudyResults

_DPI = 150  # sharp in print, and small enough for one page

TABLES: Mapping[str, Callable[[StudyResults, str], TextTable]] = MappingProxyType(
    {
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
    figures: Collection[int] | None = None,
    progress: Progress | None = None,
) -> ReportFiles:
    """Write the report of what a study has found so far into the folder `out`.

    `index.html` holds everything; `report.md`, `tables/*.tex`, `tables/*.csv` and
    `figures/NN-name.pdf` and `.png` hold it in parts. Cells that are missing, failed or damaged
    are listed first. Files of an earlier report with the same names are replaced, each whole.

    Args:
        results: of the study.
        out: the folder, made where it is not there.
        figures: the numbers of the figures to draw; None is all that apply.
        progress: is told of each figure.

    Raises `InputError` where no evaluation is finished, `OutputError` where the disk refuses.

    >>> import tempfile
    >>> from saddlepoint.reports.study.toy import toy_results
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_report(toy_results(), Path(folder), figures=(9,))
    ...     [path.name for path in files.figures]
    ['09-success.pdf', '09-success.png']
    """
    if results.evaluations.num_rows == 0:
        raise InputError(
            f"no evaluation of the study '{results.name}' is finished; run it further, then report"
        )
    notes: list[str] = []
    written: list[Path] = []
    texts = _tables(results, notes)
    for name, table in texts:
        written.append(write(out / "tables" / f"{name}.tex", latex(table)))
        written.append(write(out / "tables" / f"{name}.csv", csv_text(table)))
    found = findings(results)

    missing: list[LeftOut] = []
    shown: list[PageFigure] = []
    drawn: list[Path] = []
    for each in study_figures(results, only=figures, left_out=missing.append, progress=progress):
        png = figure_bytes(each.figure, dpi=_DPI)
        drawn.append(write(out / "figures" / f"{each.stem}.pdf", figure_bytes(each.figure, "pdf")))
        drawn.append(write(out / "figures" / f"{each.stem}.png", png))
        shown.append(PageFigure(each.number, each.slug, each.caption, png))

    text = _markdown(results, texts, found, shown, missing, notes)
    return ReportFiles(
        write(out / "index.html", page(results, texts, found, shown, missing, notes)),
        write(out / "report.md", text),
        tuple(written),
        tuple(drawn),
        (*notes, *map(str, missing)),
    )


def _tables(results: StudyResults, notes: list[str]) -> list[tuple[str, TextTable]]:
    found = []
    for i, attack in enumerate(results.attacks):
        for name, build in TABLES.items():
            full = name if i == 0 else f"{name}-{slug(attack)}"
            try:
                found.append((full, build(results, attack)))
            except InputError as error:
                notes.append(f"table '{full}' is left out: {error}")
    return found


def _markdown(
    results: StudyResults,
    tables: Sequence[tuple[str, TextTable]],
    found: Sequence[Finding],
    figures: Sequence[PageFigure],
    left_out: Sequence[LeftOut],
    notes: Sequence[str],
) -> str:
    parts = [f"# {_plain(results.title)}", *_unfinished(results)]
    if found:
        lines = [
            f"- **{f.verdict.capitalize()}:** {_plain(f.statement)} {_plain(f.evidence)}"
            for f in found
        ]
        parts += ["## Findings of the nine-defences report, in this run", "\n".join(lines)]
    parts += ["## Tables", *(markdown(table).strip() for _, table in tables), *map(_plain, notes)]
    parts.append("## Figures")
    for each in figures:
        path = f"figures/{each.number:02d}-{each.slug}.png"
        parts += [f"![{_plain(each.alternative)}]({path})"]
        parts.append(f"**Figure {each.number}.** {_plain(each.caption)}")
    if left_out:
        parts.append("Figures of the nine-defences report that are left out here:")
        parts.append("\n".join(f"- {_plain(str(each))}" for each in left_out))
    parts += ["## Configuration", f"```yaml\n{configuration(results).strip()}\n```"]
    return "\n\n".join(parts) + "\n"


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
