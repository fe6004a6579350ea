"""The report of a study: its comparisons, tables, findings and figures."""

from __future__ import annotations

from saddlepoint.reports.study.figures import StudyFigure, study_figures
from saddlepoint.reports.study.findings import Finding, findings, is_nine_defences
from saddlepoint.reports.study.tables import accuracy_table, significance_table, variants_table
from saddlepoint.reports.study.write import TABLES, ReportFiles, write_report

__all__ = [
    "TABLES",
    "Finding",
    "ReportFiles",
    "StudyFigure",
    "accuracy_table",
    "findings",
    "is_nine_defences",
    "significance_table",
    "study_figures",
    "variants_table",
    "write_report",
]
