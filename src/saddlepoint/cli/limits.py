"""The options that say how far an evaluation goes and where it starts from, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from saddlepoint.evaluation import Limits, WarmStart

Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="The time to spend, such as 90s, 10min or 1h 30min (how far images may change is --eps)."
        " What is found by then is an upper bound; the same command goes on.",
        show_default=False,
    ),
]
WarmStarts = Annotated[
    Path | None,
    typer.Option(
        "--warm-start",
        metavar="DIR",
        help="The folder of an evaluation of the same images, of an earlier checkpoint perhaps, from"
        " whose worst images attacks start.",
        show_default=False,
    ),
]
Question = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="QUESTION",
        help='"robust>=0.45", "robust>=45%" or "robust<0.45": attack images in random order until'
        " that is decided at a level of 95 %, for the accuracy under this suite. Of one --eps.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """How far an evaluation goes, and where it starts from."""

    budget: Budget = None
    until: Question = None
    warm_start: WarmStarts = None


def limits_of(given: LimitOptions) -> tuple[Limits, WarmStart | None]:
    """Return what the options ask for; raises `InputError` for what does not parse and for a folder
    that cannot be started from.
    """
    from saddlepoint.evaluation import Limits, parse_seconds, parse_until, read_warm_start

    seconds = None if given.budget is None else parse_seconds(given.budget)
    question = None if given.until is None else parse_until(given.until)
    start = None if given.warm_start is None else read_warm_start(given.warm_start)
    return Limits(seconds, question), start
