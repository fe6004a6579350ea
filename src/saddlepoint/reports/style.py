"""One style for every figure: colours that colour-blind readers can tell apart, markers that
survive printing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe and Ito's palette, with a marker each, so that grey prints can be read too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style while the block runs; matplotlib's own settings come back after
    it.

    >>> with style():
    ...     mpl.rcParams["axes.grid"]
    True
    """
    with mpl.rc_context(_STYLE):
        yield


def figure_bytes(figure: Figure, kind: str = "png", dpi: int = 160) -> bytes:
    """Return a figure as the bytes of a PNG, PDF or SVG file, cut to what is drawn.

    >>> figure_bytes(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", facecolor="white")
    return buffer.getvalue()
