"""The page of a run."""

from __future__ import annotations

from pathlib import Path

from saddlepoint.errors import InputError
from saddlepoint.reading import shown
from saddlepoint.reports.page.document import PAGE

_NAMES = (PAGE, "look.html", "index.html")


def page_of(folder: Path) -> Path:
    """Return the page in a folder; a page itself is its own.

    Raises `InputError` where there is none.

    >>> page_of(Path("no-such-folder"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: there is no folder no-such-folder
    """
    if folder.is_file() and folder.suffix == ".html":
        return folder
    if not folder.is_dir():
        raise InputError(f"there is no folder {shown(folder)}")
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{shown(folder)} holds no page ({' or '.join(_NAMES)}); evaluate or report into it first"
    )
