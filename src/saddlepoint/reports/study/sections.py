"""What a report shows, in its order: the page and the Markdown are made from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from saddlepoint.reports.study.figures import LEAD, LeftOut
from saddlepoint.reports.study.findings import Finding
from saddlepoint.reports.study.formats import TextTable

LEADING_TABLE = "accuracy"


@dataclass(frozen=True)
class DrawnFigure:
    """A figure as a report shows it.

    Attributes:
        name: of its files, and of its place on the page.
        caption: what it shows.
        png: its picture.
        theirs: whether it is one of the nine-defences report alone.
        number: on the page, in its order.

    >>> DrawnFigure("training-loss", "Training loss. By epoch.", b"", number=4).alternative
    'Figure 4. Training loss.'
    """

    name: str
    caption: str
    png: bytes
    theirs: bool = False
    number: int = 0

    @property
    def alternative(self) -> str:
        """What is read where the picture is not seen: the first sentence of the caption."""
        first = self.caption.split(". ")[0].rstrip(".")
        return f"Figure {self.number}. {first}."


@dataclass(frozen=True)
class DrawnTable:
    """A table as a report shows it.

    Attributes:
        name: of its files, and of its place on the page.
        table: its text.
        number: on the page, in its order.

    >>> DrawnTable("variants", TextTable("Two", ("a",), ()), 1).name
    'variants'
    """

    name: str
    table: TextTable
    number: int = 0


@dataclass(frozen=True)
class Section:
    """A part of a report under one heading.

    Attributes:
        anchor, heading: of it.
        notes: sentences under the heading.
        findings: of the nine-defences report.
        figures, tables: shown in this order.
        left_out: why some are not there.

    >>> Section("tables", "Tables").figures
    ()
    """

    anchor: str
    heading: str
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: tuple[DrawnFigure, ...] = ()
    tables: tuple[DrawnTable, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.findings or self.figures or self.tables or self.left_out)


_THEIR_NOTE = (
    "This study has the variants of the nine-defences report (see docs/studies.md). What follows is"
    " that report's: its findings, judged by the numbers of this study, then its figures."
)


def sections(
    tables: Sequence[DrawnTable],
    figures: Sequence[DrawnFigure],
    findings: Sequence[Finding] = (),
    left_out: Iterable[LeftOut] = (),
    notes: Iterable[str] = (),
) -> list[Section]:
    """Return the parts of a report: accuracy against eps, tables, figures, the nine-defences report.

    Figures and tables are numbered in the order in which they are shown. Parts with nothing in them
    are left out.

    Args:
        tables, figures: of the study.
        findings: of the nine-defences report; none where the study is not the nine defences.
        left_out: figures that are not there.
        notes: other things that are missing.

    >>> table = DrawnTable("variants", TextTable("Two", ("a",), ()))
    >>> [section.heading for section in sections([table], [])]
    ['Tables']
    """
    leading = tuple(each for each in figures if each.name == LEAD)
    own = tuple(each for each in figures if each.name != LEAD and not each.theirs)
    theirs = tuple(each for each in figures if each.theirs)
    first = tuple(each for each in tables if each.name == LEADING_TABLE)
    others = tuple(each for each in tables if each.name != LEADING_TABLE)
    shown = [
        Section("accuracy", "Accuracy against eps", figures=leading, tables=first),
        Section("tables", "Tables", tables=others, left_out=tuple(notes)),
        Section("figures", "Figures", figures=own, left_out=tuple(map(str, left_out))),
        Section(
            "nine-defences", "The nine-defences report, in this run", (_THEIR_NOTE,),
            tuple(findings), theirs,
        ),
    ]  # fmt: skip
    return _numbered([section for section in shown if not section.empty])


def _numbered(shown: list[Section]) -> list[Section]:
    figure, table = itertools.count(1), itertools.count(1)
    return [
        replace(
            section,
            figures=tuple(replace(each, number=next(figure)) for each in section.figures),
            tables=tuple(replace(each, number=next(table)) for each in section.tables),
        )
        for section in shown
    ]
