"""Figures as drawings inside a page, whose colours are the page's own: light and dark alike."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from types import MappingProxyType

import matplotlib as mpl
from matplotlib.figure import Figure

# The colours of style.py and matplotlib's own, by the names that page.css gives them.
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "#0072b2": "blue", "#d55e00": "vermilion", "#009e73": "green", "#cc79a7": "purple",
        "#e69f00": "orange", "#56b4e9": "sky", "#7a4b1f": "brown", "#000000": "ink",
        "#262626": "ink", "#ffffff": "paper", "#b0b0b0": "grid", "#cccccc": "grid", "#808080": "quiet",
    }
)  # fmt: skip


def inline_svg(figure: Figure, name: str, alternative: str) -> str:
    """Return a figure as an SVG element, its colours as variables of the page and its text as text.

    Args:
        name: of the figure on its page; no two share one.
        alternative: what is read where it is not seen.

    >>> figure = Figure(figsize=(2, 1))
    >>> _ = figure.add_subplot().plot([0, 1], color="#0072B2")
    >>> drawn = inline_svg(figure, "line", "A line.")
    >>> "var(--blue)" in drawn, "#0072b2" in drawn, drawn[:28]
    (True, False, '<svg role="img" aria-label="')
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _own_ids(text, name)
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None  # matplotlib always writes one
    head = f'<svg role="img" aria-label="{html.escape(alternative)}" viewBox="{box[1]}"'
    text = head + ' xmlns:xlink="http://www.w3.org/1999/xlink">' + text[text.index(">") + 1 :]
    text = re.sub(r"#[0-9a-f]{6}\b", _variable, text)
    # The page's own font, which is no wider than the one that was measured.
    text = re.sub(r"font: ([^']*?)'[^\"]*?(?=[;\"])", r"font: \1sans-serif", text)
    return re.sub(r"\n\s*", "\n", text).strip()


def width_of(svg: str) -> int:
    """Return how wide a drawing is on the page, in pixels: a third more than its points.

    >>> width_of('<svg viewBox="0 0 300 100">')
    400
    """
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+)', svg)
    return round(float(box[1]) * 4 / 3) if box else 0


def _variable(found: re.Match[str]) -> str:
    name = _NAMES.get(found[0])
    return f"var(--{name})" if name else found[0]


def _own_ids(text: str, name: str) -> str:
    """Keep the ids that something points to, and make them the figure's own."""
    wanted = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))

    def kept(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in wanted else ""

    text = re.sub(r'\sid="([^"]+)"', kept, text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
