"""The page of a training: its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saddlepoint.reading import read_json
from saddlepoint.reports.page.document import Document, Provenance
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.reports.style import look_of, style
from saddlepoint.run_folders import RUN_FILE
from saddlepoint.tables import Table

_SHARES = "accuracy"


def training_document(
    metrics: Sequence[Mapping[str, Any]], out: Path, *, name: str, command: str = ""
) -> Document:
    """Return the page of the training in `out`.

    Args:
        metrics: of each epoch.
        name: what the model is called.
        command: what repeats it.
    """
    numbering = Numbering()
    config = read_json(out / RUN_FILE)["config"] if (out / RUN_FILE).exists() else {}
    shares = _names(metrics, share=True)
    rest = [each for each in _names(metrics, share=False) if each not in ("epoch", "seconds")]
    drawings = tuple(
        numbering.figure(curves(metrics, names, label, scale), anchor, f"{label} by epoch.")
        for anchor, names, label, scale in (
            ("accuracies", shares, "Accuracy (%)", 100.0),
            ("losses", [each for each in rest if "loss" in each], "Loss", 1.0),
        )
        if names
    )
    last = metrics[-1] if metrics else {}
    rows = [
        (key.replace("_", " "), _shown(key, value))
        for key, value in last.items()
        if isinstance(value, int | float | str)
    ]
    table = numbering.table("last", Table("The last epoch", ("", "value"), rows))
    section = PageSection("curves", "Training", drawings=drawings, tables=(table,))
    data = config.get("data")
    where = data.get("name", "") if isinstance(data, Mapping) else data or ""
    return Document(
        title=f"Training of {name}",
        subtitle=f"{len(metrics)} epochs on {where}.",
        sections=(section,),
        provenance=Provenance.of(config, out, command, numbering),
    )


def curves(
    metrics: Sequence[Mapping[str, Any]], names: Sequence[str], label: str, scale: float
) -> Figure:
    """Return metrics by epoch, a line each.

    >>> curves([{"loss": 1.0}, {"loss": 0.5}], ["loss"], "Loss", 1.0).axes[0].get_ylabel()
    'Loss'
    """
    with style():
        figure = Figure(figsize=(5.2, 3.0))
        axes = figure.add_subplot()
        for i, name in enumerate(names):
            points = [
                (epoch, scale * each[name])
                for epoch, each in enumerate(metrics, start=1)
                if each.get(name) is not None
            ]
            line = {**look_of(i).line, "markersize": 3}
            axes.plot(*zip(*points, strict=True), **line, label=name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(label)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
    return figure


def _names(metrics: Sequence[Mapping[str, Any]], *, share: bool) -> list[str]:
    known = dict.fromkeys(
        key
        for each in metrics
        for key, value in each.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    return [key for key in known if (_SHARES in key) == share]


def _shown(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{100 * value:.2f} %" if _SHARES in key else f"{value:.4g}"
    return str(value)
