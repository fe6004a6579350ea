"""`saddlepoint compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saddlepoint.cli.console import result, tables
from saddlepoint.cli.options import Json


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of finished evaluations, two or more.")
    ],
    eps: Annotated[
        list[str] | None,
        typer.Option(help="A budget that all have, such as 8/255; repeatable. Without it: all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare models on the same images: which is more robust, and would more images tell?

    Two or more evaluations of the same images in the same threat model are compared at every budget
    that they have in common, image by image.
    """
    from saddlepoint.evaluation import compare as run

    found = run(folders, eps=eps or None)
    result(found.json(), as_json, lambda: tables(found.tables()))
