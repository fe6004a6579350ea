"""How far a cell at work is: a small file that its worker writes and runners read."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from saddlepoint.errors import InputError
from saddlepoint.progress import Progress, Tick
from saddlepoint.reading import read_json

_EVERY = 1.0  # seconds between two writes
_MOST = 4096  # bytes: what is longer was not written here


@dataclass(frozen=True)
class CellAtWork:
    """A cell at work.

    Attributes:
        seconds: since it began.
        share: of its work that is done, 0 to 1.
        told: in words, what it does.

    >>> CellAtWork(3.5).share
    0.0
    """

    seconds: float
    share: float = 0.0
    told: str = ""


@contextlib.contextmanager
def telling(path: Path) -> Iterator[Progress]:
    """Return what keeps a file up to date with the ticks of the block, about once a second; it is
    gone afterwards. What the disk refuses is not told.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "cell"
    ...     with telling(file) as tell:
    ...         tell(Tick(what="epoch 3 of 10", share=0.25))
    ...         told(file, 3.5)
    CellAtWork(seconds=3.5, share=0.25, told='25 %, epoch 3 of 10')
    """
    said = 0.0

    def tell(tick: Tick) -> None:
        nonlocal said
        if time.monotonic() - said < _EVERY:
            return
        said = time.monotonic()
        # Not `files.write`: nothing is lost with this one, and the disk need not be waited for. The
        # one that holds the cell is the only writer.
        new = path.with_suffix(".new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps({"share": tick.share, "what": tick.what}), encoding="utf-8")
            new.replace(path)

    _forget(path)  # what a worker that died has left
    try:
        yield tell
    finally:
        _forget(path)


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def told(path: Path, seconds: float) -> CellAtWork:
    """Return what the file of a cell says that has been at work for so long.

    >>> told(Path("no-such-file"), 2.0)
    CellAtWork(seconds=2.0, share=0.0, told='')
    """
    try:
        found = read_json(path, _MOST)
        share, what = float(found["share"]), str(found["what"])
    except (InputError, ValueError, KeyError, TypeError):
        return CellAtWork(seconds)
    if not 0 <= share <= 1:
        return CellAtWork(seconds)
    return CellAtWork(seconds, share, f"{100 * share:.0f} %, {what}")
