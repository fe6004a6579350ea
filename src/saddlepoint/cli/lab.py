"""`saddlepoint lab`: one controlled experiment, its tables and its figure."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.console import progress, result, table
from saddlepoint.cli.images import choose_device, read_data
from saddlepoint.cli.model import ModelChoice, prepare_model
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saddlepoint.data import ImageData
    from saddlepoint.lab import Experiment


@options.bundled
def lab(
    name: Annotated[
        str | None,
        typer.Argument(
            help="An experiment; without one they are listed.",
            autocompletion=complete.of(complete.EXPERIMENTS),
        ),
    ] = None,
    data: options.Data = "digits",
    model: Annotated[
        str | None,
        typer.Option(help="As for `attack`. [default: a small zoo:simple-cnn]", show_default=False),
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
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look at the first N test images. [default: the experiment's]",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    *,
    given: options.DataOptions,
    network: options.ModelOptions,
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
    if model is None and (network.weights is not None or network.pretrained):
        raise InputError(
            "weights need a network; name it with --model, for instance zoo:simple-cnn"
        )
    experiment = EXPERIMENTS[name]
    settings = experiment.parse(options.pairs(option))
    place = choose_device(given)

    from saddlepoint.data import TensorData, load_data
    from saddlepoint.evaluation import check_outputs
    from saddlepoint.lab import Bench, write_experiment
    from saddlepoint.threat import parse_eps

    several = limit or experiment.images
    tests = read_data(data, given, "test", place, several)

    def read_train() -> ImageData:  # only where something is trained
        found = load_data(
            data,
            split="train",
            data_root=given.data_root,
            download=given.download,
            image_size=given.image_size,
            limit=train_limit,
            progress=tick,
        )
        return found.to(place) if isinstance(found, TensorData) else found

    choice = None if model is None else ModelChoice(model, network)
    prepared = None
    if choice is not None and (network.weights is not None or network.pretrained):
        prepared = prepare_model(choice, tests, place)
        check_outputs(prepared.model, tests)
    with progress(name) as tick:
        bench = Bench(
            test=tests,
            read_train=read_train,
            build=None if choice is None else functools.partial(_built, choice, tests, place),
            given=None if prepared is None else prepared.model,
            eps=parse_eps(train_eps),
            epochs=epochs,
            seed=network.seed,
            progress=tick,
        )
        identity = {
            "model": model, "asked": [network.normalisation, network.mean, network.std],
            "pretrained": network.pretrained,
            **({} if prepared is None else prepared.identity), "data": data, "train_limit": train_limit,
        }  # fmt: skip
        written = write_experiment(
            experiment, bench, settings, out or Path("runs/lab") / name, identity
        )
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


def _built(choice: ModelChoice, data: ImageData, place: torch.device, seed: int) -> nn.Module:
    fresh = replace(choice, given=replace(choice.given, weights=None, seed=seed))
    return prepare_model(fresh, data, place, measured=False).model


def _list(experiments: list[Experiment], as_json: bool) -> None:
    columns = ("experiment", "what", "paper")
    rows = [(each.name, each.what, each.paper) for each in experiments]
    records = [
        {**dict(zip(columns, row, strict=True)), "settings": list(each.options)}
        for row, each in zip(rows, experiments, strict=True)
    ]
    result(records, as_json, lambda: table(columns, rows))
