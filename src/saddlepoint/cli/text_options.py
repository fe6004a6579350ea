"""Options of texts: which, and how they become tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from saddlepoint.counts import MOST
from saddlepoint.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TextReading:
    """Which texts of a file are read."""

    column: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of texts in --data; twice for pairs: --column source --column target."
            " [default: text, or source and target]",
            show_default=False,
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(help="The column of classes. [default: label, if any]", show_default=False),
    ] = None
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut longer texts, which are an error otherwise.")
    ] = False

    def check_unused(self) -> None:
        """Raise `InputError` where an option was given to a model of images."""
        for each in fields(self):
            if getattr(self, each.name) not in (None, False):
                raise InputError(
                    f"--{each.name} is of texts; leave it out, or give a model of texts"
                )


@dataclass(frozen=True, kw_only=True)
class TextOptions(TextReading):
    """Which texts of a file, and how they become tokens."""

    test: Annotated[
        str | None, typer.Option(help="Test texts, where --data is a file: a file of its form.")
    ] = None
    tokeniser: Annotated[
        str | None,
        typer.Option(
            help="Of texts: wordpiece, words, characters, or a tokeniser.json. [default: that of --weights,"
            " or words or characters for rules, else wordpiece]",
            show_default=False,
        ),
    ] = None
    vocabulary: Annotated[
        int | None,
        typer.Option(
            min=8, max=MOST, help="Tokens of a new tokeniser. [default: 4000]", show_default=False
        ),
    ] = None
    lower: Annotated[
        bool, typer.Option("--lower", help="Capitals are small letters to a new tokeniser.")
    ] = False
    longest: Annotated[
        int | None,
        typer.Option(
            min=4,
            max=MOST,
            help="Tokens of a text, special ones among them. [default: the model's positions]",
            show_default=False,
        ),
    ] = None
    words: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Of a source in text/verses-en-es at most so many words."
        ),
    ] = None
