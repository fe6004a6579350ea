"""`saddlepoint study run`, `status` and `report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import at_work, note, progress, result, table
from saddlepoint.cli.display import close_display, displayed
from saddlepoint.cli.failures import UnfinishedError
from saddlepoint.cli.groups import WholeSummaries
from saddlepoint.counts import MOST_THREADS
from saddlepoint.errors import InputError
from saddlepoint.progress import Tick

if TYPE_CHECKING:
    from saddlepoint.studies import StudyProgress, StudyResults, StudySpec

study = typer.Typer(
    cls=WholeSummaries,
    help="Run a study from a YAML file, see how far it is, and report it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Argument(help="The folder of the study.", metavar="DIR")]


@study.command()
@at_work
def run(
    file: Annotated[Path, typer.Argument(help="The study, in YAML.", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option(help="The study's folder; the same one goes on.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_THREADS, help="Processes that run cells.")
    ] = 1,
    only: Annotated[
        str | None,
        typer.Option(
            help="Run the cells whose label holds this text (or matches it, with * and ?), and the"
            " trainings they need."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu or cuda, in place of the file's.", show_default=False)
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the grid and an estimate of the time.")
    ] = False,
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
) -> None:
    """Run every cell that is not finished yet.

    A cell is one training or one evaluation. What is interrupted, also by kill -9, loses only the
    cells at work; the same command goes on. Two runners may share one folder. A cell that fails is
    recorded and tried again by the next run.
    """
    from saddlepoint.studies import load_results, load_study, on_device, run_study

    spec = load_study(file)
    if device:
        spec = on_device(spec, device)
    if dry_run:
        _dry_run(spec, only, data_root, as_json)
        return
    if out is None:
        raise InputError("the study needs a folder; give --out DIR, or --dry-run")
    with displayed(note) as shown:
        shown.begin(f"study {spec.name}")
        state = run_study(
            spec, out, workers=workers, only=only, data_root=data_root,
            progress=lambda state: shown.progress(*_ticked(state)),
        )  # fmt: skip
    summary = {
        "cells": state.total,
        "finished": state.finished,
        "failed": state.failed,
        "blocked": state.blocked,
        "notes": list(state.notes),
    }
    for line in state.notes:
        note(f"note: {line}")
    if state.finished and not as_json:
        close_display()
        _show_study(load_results(out))
    if state.complete:
        result(summary, as_json, lambda: _show_next(state, out))
    else:
        worst = "; ".join(f"{label}: {error}" for label, error in list(state.failed.items())[:3])
        more = f" and {len(state.failed) - 3} more" if len(state.failed) > 3 else ""
        waiting = f"; evaluations that wait for them: {state.blocked}" if state.blocked else ""
        raise UnfinishedError(
            f"cells that failed: {len(state.failed)} ({worst}{more}){waiting}\n"
            "the same command tries them again",
            summary,
        )


def _show_study(results: StudyResults) -> None:
    from saddlepoint.reports.study import accuracy_table

    drawn = accuracy_table(results)
    table(drawn.columns, drawn.rows, title=drawn.caption)
    for line in drawn.notes:
        print(line)


def _show_next(state: StudyProgress, out: Path) -> None:
    print(f"all {state.total} cells are finished")
    print(
        f"statistics, figures and a page to read: saddlepoint study report {shlex.quote(str(out))}"
    )


@study.command()
@at_work
def status(folder: Folder, as_json: options.Json = False) -> None:
    """Show what is finished, what failed and what is missing."""
    from saddlepoint.studies import load_status

    found = load_status(folder)
    value = {
        "name": found.name,
        "variants": {v: dict(zip(("trained", "trainings", "evaluated", "evaluations"), n, strict=True))
                     for v, n in found.counts.items()},
        "complete": found.complete,
        "failed": dict(found.failed),
        "damaged": list(found.damaged),
        "seconds": found.seconds,
    }  # fmt: skip

    def show() -> None:
        rows = [(v, f"{a} of {b}", f"{c} of {d}") for v, (a, b, c, d) in found.counts.items()]
        table(("variant", "trained", "evaluated"), rows, title=found.name)
        print(f"time of the finished cells {duration(found.seconds)}")
        for label, error in found.failed.items():
            print(f"failed: {label}: {error}")
        for label in found.damaged:
            print(f"damaged: {label}; the next run does it again")

    result(value, as_json, show)


@study.command()
@at_work
def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(help="The report's folder. [default: DIR/report]")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write tables, statistics, figures and index.html from what the store holds.

    An unfinished study is reported with what there is; the missing cells are listed at the top.
    """
    from saddlepoint.reports.study import write_report
    from saddlepoint.studies import load_results

    results = load_results(folder)
    with progress("reporting") as tick:
        files = write_report(results, out or folder / "report", progress=tick)
    value = {
        "page": str(files.index),
        "text": str(files.markdown),
        "tables": [str(path) for path in files.tables],
        "figures": [str(path) for path in files.figures],
        "left_out": list(files.left_out),
    }
    result(value, as_json, lambda: _show_report(results, value))


def _show_report(results: StudyResults, files: dict[str, Any]) -> None:
    _show_study(results)
    unfinished = len(results.missing) + len(results.failed) + len(results.damaged)
    if unfinished:
        print(f"{unfinished} cells are not finished; they are listed at the top of the report")
    print(f"page {files['page']}\ntext {files['text']}")


def _dry_run(spec: StudySpec, only: str | None, data_root: Path | None, as_json: bool) -> None:
    from saddlepoint.studies.estimate import estimate_study
    from saddlepoint.threat import format_eps

    found = estimate_study(spec, only=only, data_root=data_root)
    counts = {kind: sum(c.kind == kind for c in found.cells) for kind in ("training", "evaluation")}
    value = {
        "study": spec.name,
        "cells": len(found.cells),
        **{f"{kind}s": count for kind, count in counts.items()},
        "step_seconds": found.step_seconds,
        "seconds": found.total,
        "labels": [cell.label for cell in found.cells],
    }

    def show() -> None:
        rows = []
        for variant, step in found.step_seconds.items():
            mine = [c for c in found.cells if c.variant == variant]
            train, attack = (duration(found.seconds.get(f"{k}, {variant}", 0.0)) for k in counts)
            trainings, evaluations = (str(sum(c.kind == k for c in mine)) for k in counts)
            rows.append((variant, trainings, f"{step:.3f}", train, evaluations, attack))
        heads = ("variant", "trainings", "s per step", "time", "evaluations", "time")
        table(heads, rows, title=spec.title)
        print(f"seeds {', '.join(map(str, spec.seeds))}; eps {', '.join(map(format_eps, spec.eps))}; "
              f"attacks {', '.join(spec.attacks)}")  # fmt: skip
        print(
            f"{len(found.cells)} cells: {counts['training']} trainings, {counts['evaluation']}"
            f" evaluations\nabout {duration(found.total)} with one worker,"
            f" {duration(found.total / 2)} with two ({spec.threads} thread each)"
        )

    result(value, as_json, show)


def _ticked(state: StudyProgress) -> tuple[Tick, list[tuple[str, str]]]:
    """Return how far a study is, and a row for every cell that is at work or has failed."""
    tick = Tick(
        what="",
        done=state.finished,
        total=state.total,
        unit="cells",
        share=state.share,
        seconds_left=state.seconds_left,
    )
    rows = [
        (label, f"{duration(cell.seconds)}{cell.told and ', '}{cell.told}")
        for label, cell in state.running.items()
    ]
    if state.elsewhere:
        rows.append((f"{state.elsewhere} with another runner", ""))
    return tick, rows + [(f"failed: {label}", error[:80]) for label, error in state.failed.items()]


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(3.2), duration(200), duration(7300)
    ('3 s', '3 min 20 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
