"""The report of a study: its comparisons, tables, findings and figures."""

from __future__ import annotations

from saddlepoint.reports.study.figures import StudyFigure, study_figures
from saddlepoint.reports.study.findings import Finding, findings
from saddlepoint.reports.study.tables import significance_table, variants_table
from saddlepoint.reports.study.write import TABLES, ReportFiles, write_report

__all__ = [
    "TABLES",
    "Finding",
    "ReportFiles",
    "StudyFigure",
    "findings",
    "significance_table",
    "study_figures",
    "variants_table",
    "write_report",
]
