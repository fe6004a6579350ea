"""The report as one HTML page that needs nothing else: no other file, no request."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import yaml

import saddlepoint
from saddlepoint.reports.page.render import render
from saddlepoint.reports.study.sections import Section
from saddlepoint.studies.results import StudyResults

_TEMPLATE = "study/page.html.jinja"


def picture_source(png: bytes) -> str:
    """Return a picture as an address that holds it.

    >>> picture_source(b"")
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(png).decode()


def picture_size(png: bytes) -> tuple[int, int]:
    """Return width and height on the page, from the header of the PNG: two thirds of its pixels.

    >>> from matplotlib.figure import Figure
    >>> from saddlepoint.reports.style import figure_bytes
    >>> picture_size(figure_bytes(Figure(figsize=(1, 1)), dpi=150))[0] > 90
    True
    """
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    return width * 2 // 3, height * 2 // 3


def configuration(results: StudyResults) -> str:
    """Return the configuration of the study, defaults resolved, as YAML in the order given.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> configuration(toy_results())
    'name: toy\\n'
    """
    return yaml.safe_dump(results.config, sort_keys=False, allow_unicode=True, width=90)


def page(results: StudyResults, shown: Sequence[Section]) -> str:
    """Return the HTML of the report; everything in it that came from the study is escaped.

    Args:
        results: of the study.
        shown: its parts, in their order.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> page(toy_results(title="a < b"), []).count("a &lt; b")
    2
    """
    values: dict[str, Any] = {
        "results": results,
        "sections": shown,
        "configuration": configuration(results),
        "version": saddlepoint.__version__,
        "verdict_classes": {"holds": "yes", "does not hold": "no"},
    }
    return render(_TEMPLATE, values, filters={"source": picture_source, "size": picture_size})
