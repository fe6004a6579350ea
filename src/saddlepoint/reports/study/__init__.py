"""The report of a study: its comparisons, tables, findings and figures."""

from __future__ import annotations

from saddlepoint.reports.study.comparisons import (
    METRICS,
    Comparison,
    Metric,
    Summary,
    comparisons,
    summaries,
)
from saddlepoint.reports.study.comparisons_images import ImageComparison, image_comparisons
from saddlepoint.reports.study.figures import StudyFigure, study_figures
from saddlepoint.reports.study.findings import findings
from saddlepoint.reports.study.findings.verdict import Finding
from saddlepoint.reports.study.formats import Numbers, TextTable, csv_text, latex, markdown
from saddlepoint.reports.study.tables import significance_table, variants_table
from saddlepoint.reports.study.tables_budgets import by_budget_table, mcnemar_table, timings_table
from saddlepoint.reports.study.write import ReportFiles, write_report

__all__ = [
    "METRICS",
    "Comparison",
    "Finding",
    "ImageComparison",
    "Metric",
    "Numbers",
    "ReportFiles",
    "StudyFigure",
    "Summary",
    "TextTable",
    "by_budget_table",
    "comparisons",
    "csv_text",
    "findings",
    "image_comparisons",
    "latex",
    "markdown",
    "mcnemar_table",
    "significance_table",
    "study_figures",
    "summaries",
    "timings_table",
    "variants_table",
    "write_report",
]
