"""`saddlepoint train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import note, progress, result, table
from saddlepoint.cli.images import choose_device, read_data
from saddlepoint.cli.model import ModelChoice, prepare_model
from saddlepoint.counts import MOST, MOST_THREADS

if TYPE_CHECKING:
    from saddlepoint.data import ImageData


@options.bundled
def train(
    data: options.Data,
    model: options.Model,
    recipe: Annotated[str, typer.Option(help="A name (see `saddlepoint recipes`) or a YAML file.")],
    out: options.Out,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="In place of the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="In place of the recipe's.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the recipe's.")] = None,
    augmentation: Annotated[str | None, typer.Option(help="none, crop or crop-flip.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint.")
    ] = False,
    track: Annotated[str | None, typer.Option(help="tensorboard or mlflow.")] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, max=MOST_THREADS, help="Processes that decode images from folders."),
    ] = 0,
    limit: options.Limit = None,
    *,
    given: options.DataOptions,
    network: options.ModelOptions,
    as_json: options.Json = False,
) -> None:
    """Train a model by a recipe, with a checkpoint every epoch.

    The result is OUT/model.safetensors, with the normalisation inside. Ctrl-C stops after a
    checkpoint; the same command with --resume goes on, on a CPU to the bit-identical result.
    """
    place = choose_device(given)
    images = read_data(data, given, "train", place, limit)
    tests: ImageData | None = read_data(data, given, "test", place, limit)
    if tests is not None and tests.split == images.split:
        tests = None  # a source of one set: accuracy on its training images is no test
        note(f"note: {images.name} has no test images apart; no test accuracy is measured")
    prepared = prepare_model(ModelChoice(model, network), images, place, measured=False)

    from saddlepoint.defences import load_recipe
    from saddlepoint.threat import NormBall
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.training import train as run
    from saddlepoint.zoo import weights_fingerprint

    plan = load_recipe(recipe, prepared.statistics)
    changed: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "augmentation": augmentation,
    }
    plan = replace(plan, **{key: value for key, value in changed.items() if value is not None})
    if learning_rate is not None:
        plan = replace(plan, optimiser=replace(plan.optimiser, learning_rate=learning_rate))
    inner = getattr(plan.objective, "attack", None)
    if inner is not None and isinstance(inner.threat, NormBall):
        inner.threat.check_width(images.shape)
    identity = {
        **prepared.identity,
        "data": data,
        "initial_weights": weights_fingerprint(prepared.model),
    }
    begun = False

    def tell(done: int, total: int, what: str) -> None:
        # Said once it is true: what is wrong with the input is known before the first step.
        nonlocal begun
        if not begun and not as_json:
            note(f"training {model} on {len(images):,} images of {images.name} by {recipe}")
        begun = True
        tick(done, total, what)

    with progress("training") as tick:
        trained = run(
            prepared.model,
            images,
            plan,
            out=out,
            test=tests,
            seed=network.seed,
            resume=resume,
            identity=identity,
            tracker=track,
            workers=workers,
            progress=tell,
        )
    last = trained.metrics[-1] if trained.metrics else {}  # its file may have been deleted
    record = {
        "weights": str(out / WEIGHTS_FILE),
        "model": model,
        "normalisation": prepared.identity["normalisation"],
        "data": images.name,
        "epochs": plan.epochs,
        **{key: last.get(key) for key in ("loss", "accuracy", "test_accuracy")},
        "seconds": trained.seconds,
    }
    result(record, as_json, lambda: _show(record, Path(out)))


def _show(record: dict[str, object], out: Path) -> None:
    loss = "–" if record["loss"] is None else f"{record['loss']:.4f}"
    accuracy, test = (
        "–" if record[key] is None else f"{record[key]:.2%}"
        for key in ("accuracy", "test_accuracy")
    )
    table(
        ("epochs", "loss", "accuracy in training", "test accuracy", "seconds"),
        [
            (
                str(record["epochs"]),
                loss,
                accuracy,
                test,
                f"{record['seconds']:.1f}",
            )
        ],
    )
    print(f"weights {record['weights']}\nmetrics {out / 'metrics.jsonl'}")
