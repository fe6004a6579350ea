"""The report as one HTML page that needs nothing else: no other file, no request."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

import saddlepoint
from saddlepoint.reports.study.figures import LeftOut
from saddlepoint.reports.study.findings.verdict import Finding
from saddlepoint.reports.study.formats import TextTable
from saddlepoint.studies.results import StudyResults

_TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class PageFigure:
    """A figure as the page shows it.

    Attributes:
        number, slug, caption: of the figure.
        png: its picture.

    >>> PageFigure(7, "training-loss", "Training loss. By epoch.", b"").alternative
    'Figure 7. Training loss.'
    """

    number: int
    slug: str
    caption: str
    png: bytes

    @property
    def alternative(self) -> str:
        """What is read where the picture is not seen: the first sentence of the caption."""
        first = self.caption.split(". ")[0].rstrip(".")
        return f"Figure {self.number}. {first}."

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, from the header of the PNG: two thirds of its pixels.

        >>> from matplotlib.figure import Figure
        >>> from saddlepoint.reports.style import figure_bytes
        >>> PageFigure(1, "x", "X.", figure_bytes(Figure(figsize=(1, 1)), dpi=150)).size[0] > 90
        True
        """
        width, height = int.from_bytes(self.png[16:20]), int.from_bytes(self.png[20:24])
        return width * 2 // 3, height * 2 // 3


def configuration(results: StudyResults) -> str:
    """Return the configuration of the study, defaults resolved, as YAML in the order given.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> configuration(toy_results())
    'name: toy\\n'
    """
    return yaml.safe_dump(results.config, sort_keys=False, allow_unicode=True, width=90)


def page(
    results: StudyResults,
    tables: Sequence[tuple[str, TextTable]],
    findings: Sequence[Finding],
    figures: Sequence[PageFigure],
    left_out: Sequence[LeftOut] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the HTML of the report; everything in it that came from the study is escaped.

    Args:
        results: of the study.
        tables: with the name of each, which is its anchor.
        findings: of the nine-defences report, and whether they hold.
        figures: in the order they are shown.
        left_out: figures that are not shown, and why.
        notes: other things that are missing.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> page(toy_results(title="a < b"), [], [], []).count("a &lt; b")
    2
    """
    text = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    values: dict[str, Any] = {
        "results": results,
        "tables": tables,
        "findings": findings,
        "figures": figures,
        "left_out": left_out,
        "notes": notes,
        "configuration": configuration(results),
        "version": saddlepoint.__version__,
        "verdict_classes": {"holds": "yes", "does not hold": "no"},
    }
    return environment.from_string(text).render(values)
