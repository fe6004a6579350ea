"""The page of an evaluation: `report.html`."""

from __future__ import annotations

from saddlepoint.reports.evaluation.write import write_evaluation_page

__all__ = ["write_evaluation_page"]
