"""`saddlepoint open`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from saddlepoint.cli.console import result
from saddlepoint.cli.options import Json


def open_page(
    folder: Annotated[Path, typer.Argument(help="The folder of an evaluation, or of another run.")],
    as_json: Json = False,
) -> None:
    """Open the page of a run in the browser; print its path where there is no display."""
    from saddlepoint.reports.page.find import page_of

    page = page_of(folder).resolve()
    if not as_json and _display():
        typer.launch(page.as_uri())
    result({"page": str(page)}, as_json, lambda: print(page))


def _display() -> bool:
    """Whether there is a screen to open a page on."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
