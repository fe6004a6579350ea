"""`saddlepoint lab`: one controlled experiment, its tables and its figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.assignments import model_options, pairs
from saddlepoint.cli.console import progress, result, table
from saddlepoint.cli.images import choose_device, read_data
from saddlepoint.cli.prepare import fresh_model, prepare
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.data import ImageData
    from saddlepoint.lab import Experiment


@dataclass(frozen=True, kw_only=True)
class LabSubject(options.Subject):
    """What an experiment is done on, if not on digits and a small network of ours."""

    data: options.Data = "digits"
    model: Annotated[
        str,
        typer.Option(help="As for `attack`. [default: a small zoo:simple-cnn]", show_default=False),
    ] = ""
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look at the first N test images. [default: the experiment's]",
            show_default=False,
        ),
    ] = None


@options.bundled
def lab(
    subject: LabSubject,
    name: Annotated[
        str | None,
        typer.Argument(
            help="An experiment; without one they are listed.",
            autocompletion=complete.of(complete.EXPERIMENTS),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the results. [default: runs/lab/NAME]", show_default=False
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the experiment, NAME=VALUE: restarts=200 …"),
    ] = None,
    train_eps: Annotated[
        str, typer.Option(help="The Linf budget of adversarial training: 0.2, 8/255 …")
    ] = "0.2",
    epochs: Annotated[int, typer.Option(min=1, max=MOST, help="Of every training.")] = 10,
    train_limit: Annotated[
        int, typer.Option(min=1, max=MOST, help="Train on the first N images at most.")
    ] = 10_000,
    show: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    as_json: options.Json = False,
) -> None:
    """Run a controlled experiment: OUT gets its tables (CSV) and its figure (PNG and PDF).

    Without --weights the networks are trained first, normally and adversarially, in seconds on the
    digits; with --weights (or --pretrained) the experiment looks at that model alone.
    """
    from saddlepoint.lab import EXPERIMENTS

    if show or name is None:
        _list(list(EXPERIMENTS.values()), as_json)
        return
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    trained = subject.weights is not None or subject.pretrained
    if not subject.model and trained:
        raise InputError(
            "weights need a network; name it with --model, for instance zoo:simple-cnn"
        )
    experiment = EXPERIMENTS[name]
    settings = experiment.parse(pairs(option))

    from saddlepoint.evaluation import check_outputs
    from saddlepoint.lab import Bench, write_experiment
    from saddlepoint.threat import parse_eps
    from saddlepoint.zoo import check_spec

    budget = parse_eps(train_eps)
    subject = replace(subject, limit=subject.limit or experiment.images)
    prepared = None
    if trained:
        prepared = prepare(subject)
        check_outputs(prepared.model, prepared.data)
        tests, place = prepared.data, prepared.device
    else:
        if subject.model:
            check_spec(subject.model)
        place = choose_device(subject.device, subject.threads)
        tests = read_data(subject, "test", place)

    def read_train() -> ImageData:  # only where something is trained
        return read_data(replace(subject, limit=train_limit), "train", place)

    def fresh(seed: int) -> nn.Module:
        return fresh_model(subject, tests, place, seed)

    folder = out or Path("runs/lab") / name
    with progress(name) as tick:
        bench = Bench(
            test=tests,
            read_train=read_train,
            build=fresh if subject.model else None,
            given=None if prepared is None else prepared.model,
            eps=budget,
            epochs=epochs,
            seed=subject.seed,
            progress=tick,
            parts=folder / "parts",
        )
        identity = {
            "model": subject.model or None,
            "asked": [subject.normalisation, subject.mean, subject.std],
            "pretrained": subject.pretrained,
            **({"model_options": given} if (given := model_options(subject.model_option)) else {}),
            **({} if prepared is None else prepared.identity),
            "data": subject.data, "train_limit": train_limit,
        }  # fmt: skip
        written = write_experiment(experiment, bench, settings, folder, identity)
    summary = written.summary
    record = {
        "experiment": name,
        "summary": summary.records(),
        "files": {kind: str(path) for kind, path in written.files.items()},
        "seconds": written.seconds,
    }

    def tell() -> None:
        table(summary.columns, summary.text(), title=f"{name}: {experiment.what}")
        for kind, path in written.files.items():
            print(f"{kind:<12}{path}")
        print(f"{'time':<12}{written.seconds:.1f} s")

    result(record, as_json, tell)


def _list(experiments: list[Experiment], as_json: bool) -> None:
    columns = ("experiment", "what", "paper")
    rows = [(each.name, each.what, each.paper) for each in experiments]
    records = [
        {**dict(zip(columns, row, strict=True)), "settings": list(each.options)}
        for row, each in zip(rows, experiments, strict=True)
    ]
    result(records, as_json, lambda: table(columns, rows))
