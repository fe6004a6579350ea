"""One style for every figure: colours that colour-blind readers can tell apart, markers that
survive printing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, NullFormatter

# Okabe and Ito's palette, with a marker each, so that grey prints can be read too; its yellow, hardly
# seen on white, is a brown.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A4B1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")

# One colour and one marker for each of twelve variants. The first is the original, in black; the
# order of hues is that of the nine-defences report (black, blue, red, green, purple, yellow, cyan,
# brown, grey), each replaced by one that stays apart for colour-blind readers.
_HUES = (
    "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
    "#56B4E9", "#7A4B1F", "#5A5A5A", "#332288", "#005060", "#F0E442",
)  # fmt: skip
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "p", "*", "<", ">", "h")

# What a bar measures: before the attack, after it, success of the attack.
BEFORE, AFTER, SUCCESS = "#0072B2", "#E69F00", "#009E73"

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # A dollar in a name of a variant, a class or a file is a dollar.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Look:
    """How the line of one variant is drawn.

    >>> Look("#000000", "o", "-").line
    {'color': '#000000', 'marker': 'o', 'linestyle': '-'}
    """

    colour: str
    marker: str
    linestyle: str

    @property
    def line(self) -> dict[str, Any]:
        """The keyword arguments of `Axes.plot`."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.linestyle}


def look_of(number: int) -> Look:
    """Return the look of line 0, 1, 2 …: no two alike below 64, of eight colours.

    The first eight differ in colour and in marker, their neighbours in the dashes as well.

    >>> look_of(0), look_of(8)
    (Look(colour='#0072B2', marker='o', linestyle='-'), Look(colour='#0072B2', marker='s', linestyle='--'))
    """
    again = number // len(COLOURS)
    return Look(
        COLOURS[number % len(COLOURS)],
        MARKERS[(number + again) % len(MARKERS)],
        DASHES[(number + again) % len(DASHES)],
    )


def variant_looks(
    names: Sequence[str], *, reference: str | None = None, dashed: Collection[str] = ()
) -> dict[str, Look]:
    """Return a look for each variant, no two alike up to 144; the reference is black.

    Up to twelve variants differ in the colour and in the marker. `dashed` names a group whose lines
    are dashed, for instance those with adversarial training.

    >>> looks = variant_looks(["original", "adversarial"], dashed={"adversarial"})
    >>> looks["original"].colour, looks["adversarial"].linestyle
    ('#000000', '--')
    """
    first = [name for name in names if name == reference]
    ordered = first + [name for name in names if name != reference]
    looks = {
        name: Look(
            _HUES[i % len(_HUES)],
            _SHAPES[(i + i // len(_HUES)) % len(_SHAPES)],
            "--" if name in dashed else "-",
        )
        for i, name in enumerate(ordered)
    }
    return {name: looks[name] for name in names}


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


class _Powers(LogFormatterSciNotation):
    """Matplotlib's labels of a logarithmic axis, written without its markup."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = re.sub(r"^\$\\mathdefault\{(.*)\}\$$", r"\1", super().__call__(x, pos))
        text = text.replace(r"\times", "×").replace("-", "−")
        return re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(_RAISED), text)


_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def write_powers(axis: Axis) -> None:
    """Write the powers of ten of a logarithmic axis as text: no text of a figure is read as maths.

    >>> axes = Figure().add_subplot(xscale="log", xlim=(1e-3, 1e-1))
    >>> write_powers(axes.xaxis)
    >>> axes.xaxis.get_major_formatter().format_ticks([1e-3, 1e-2])
    ['10⁻³', '10⁻²']
    """
    axis.set_major_formatter(_Powers())
    if not isinstance(axis.get_minor_formatter(), NullFormatter):
        axis.set_minor_formatter(_Powers())


def figure_bytes(figure: Figure, kind: str = "png", dpi: int = 160) -> bytes:
    """Return a figure as the bytes of a PNG, PDF or SVG file, cut to what is drawn.

    >>> figure_bytes(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    # Without the time of drawing, the same figure is the same file.
    dated = {"pdf": "CreationDate", "svg": "Date"}
    metadata = {dated[kind]: None} if kind in dated else None
    figure.savefig(
        buffer, format=kind, dpi=dpi, bbox_inches="tight", facecolor="white", metadata=metadata
    )
    return buffer.getvalue()
