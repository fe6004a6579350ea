"""`saddlepoint demo`: the main job, end to end, on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import note, progress, result, table
from saddlepoint.cli.images import choose_device
from saddlepoint.counts import MOST


def demo(
    out: Annotated[Path, typer.Option(help="The folder for the results.")] = Path("runs/demo"),
    epochs: Annotated[int, typer.Option(min=1, max=MOST, help="Of both trainings.")] = 20,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Attack only the first N test images.")
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Train a small CNN twice on digits, normally and adversarially, and attack both at four
    budgets.
    """
    place = choose_device(device, threads)

    from saddlepoint.demo import run_demo
    from saddlepoint.reports import evaluation_rows

    if not as_json:
        note("training a small CNN on scikit-learn's digits, normally and adversarially …")
    with progress("demo") as tick:
        found = run_demo(out, device=place, epochs=epochs, limit=limit, seed=seed, progress=tick)

    def show() -> None:
        for name, each in found.evaluations.items():
            print(f"{name}: {each.told}")
        columns, rows = evaluation_rows(found.evaluations)
        table(
            columns,
            rows,
            title=f"Linf, {found.images} test images of digits, 95 % Wilson intervals",
        )
        for name, path in found.files.items():
            print(f"{name:<10}{path}")
        print(f"{'time':<10}{found.seconds:.1f} s")

    result(found.json(), as_json, show)
