"""Running an experiment into a folder: its tables as CSV, its figure as PNG and PDF."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saddlepoint.files import write
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Experiment
from saddlepoint.lab.table import Table
from saddlepoint.run_folders import claimed


@dataclass(frozen=True)
class Written:
    """What an experiment found, in short, and where the rest is.

    >>> Written(Table(("a",), ()), {}, 1.0).seconds
    1.0
    """

    summary: Table
    files: Mapping[str, Path]
    seconds: float


def write_experiment(
    experiment: Experiment, bench: Bench, settings: Any, out: Path | str, identity: Any = None
) -> Written:
    """Run the experiment, and write its tables and its figure under `out`.

    A second run with the same settings replaces the files by the same ones; another is refused.

    Args:
        experiment, bench, settings: what to run on what.
        out: the folder.
        identity: what else distinguishes the run (the names of data and model …).

    >>> import tempfile
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.lab import EXPERIMENTS
    >>> one = EXPERIMENTS["linear-example"]
    >>> bench = Bench(load_data("digits", limit=1), lambda: load_data("digits"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(write_experiment(one, bench, one.settings(), Path(folder)).files)
    ['dimensions', 'figure', 'pdf', 'summary']
    """
    out = Path(out)
    from saddlepoint.reports.style import figure_bytes

    began = time.perf_counter()
    config = {
        "identity": identity,
        "settings": settings,
        "images": bench.test.fingerprint,
        "train_eps": bench.eps,
        "epochs": bench.epochs,
        "seed": bench.seed,
    }
    name = experiment.name
    with claimed(out, f"lab {name}", config, (f"{name}.png", f"{name}.pdf", "summary.csv")):
        found = experiment.run(bench, settings)
        tables = found.tables()
        figure = experiment.draw(found)
        files = {each: write(out / f"{each}.csv", table.csv()) for each, table in tables.items()}
        files["figure"] = write(out / f"{name}.png", figure_bytes(figure))
        files["pdf"] = write(out / f"{name}.pdf", figure_bytes(figure, "pdf"))
    summary = next(iter(tables.values()))
    return Written(summary, files, time.perf_counter() - began)
