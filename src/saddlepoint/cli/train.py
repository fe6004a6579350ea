"""`saddlepoint train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.assignments import changed, weighted
from saddlepoint.cli.console import note, progress
from saddlepoint.cli.images import read_data
from saddlepoint.cli.prepare import Place, prepare, read_teacher
from saddlepoint.cli.target import with_target
from saddlepoint.cli.text_options import TextOptions
from saddlepoint.cli.train_text import check_no_images, train_text
from saddlepoint.cli.trained import Told, tell_trained
from saddlepoint.counts import MOST, MOST_THREADS
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.data import ImageData
    from saddlepoint.defences import TrainingObjective
    from saddlepoint.progress import Tick


@options.bundled
def train(
    subject: options.Subject,
    recipe: Annotated[
        str,
        typer.Option(
            help="A name (see `saddlepoint recipes`) or a YAML file.",
            autocompletion=complete.recipes,
        ),
    ],
    out: options.Out,
    texts: TextOptions,
    eps: Annotated[
        str | None,
        typer.Option(help="The budget that is trained for, in place of the recipe's: 8/255, 0.5 …"),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="Its norm, in place of the recipe's: linf, l2 or l1."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A field in place of the recipe's, FIELD=VALUE, nested by dots:"
            " objective.attack.steps=7, penalties.0.weight=0.01 …; or an option of the objective:"
            " temperature=20; repeatable.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="In place of the recipe's, whose attack it takes along: a name (see `saddlepoint"
            " defences`) or FILE.py:NAME, whose code is run."
        ),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        typer.Option(
            help="A penalty more, NAME=WEIGHT or FILE.py:NAME=WEIGHT, whose code is run; repeatable."
        ),
    ] = None,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            help="A change of the model more, NAME or FILE.py:NAME, whose code is run; repeatable."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="In place of the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="In place of the recipe's.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the recipe's.")] = None,
    augmentation: Annotated[
        str | None,
        typer.Option(
            help="In place of the recipe's: none, crop-flip …, or [crop-flip, rand-augment]."
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Of a distillation: weights of the same model, a file or the folder of a training;"
            " without it one is trained first, into OUT/teacher."
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Of advgan: the network that the perturber learns to fool, the folder of its training or"
            " a file with --target-model."
        ),
    ] = None,
    target_model: Annotated[
        str | None, typer.Option(help="The target's architecture, if not its folder's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint.")
    ] = False,
    track: Annotated[str | None, typer.Option(help="tensorboard or mlflow.")] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, max=MOST_THREADS, help="Processes that decode images from folders."),
    ] = 0,
    as_json: options.Json = False,
) -> None:
    """Train a model by a recipe, with a checkpoint every epoch: on images, or on texts where the model
    is a Transformer or a BERT.

    The result is OUT/model.safetensors, with the normalisation inside. Ctrl-C stops after a
    checkpoint; the same command with --resume goes on, on a CPU to the bit-identical result.
    """
    from saddlepoint.defences import Recipe, RecipeChange, load_recipe, threat_of
    from saddlepoint.text import TEXT_MODELS, is_text
    from saddlepoint.threat import NormBall, Statistics
    from saddlepoint.training import FILES
    from saddlepoint.training import train as run
    from saddlepoint.zoo import weights_fingerprint

    budget = {name: text for name, text in {"eps": eps, "norm": norm}.items() if text is not None}
    flags = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimiser.learning_rate": learning_rate,
        "augmentation": augmentation,
    }
    change = RecipeChange(
        objective=objective,
        penalties=weighted(penalty),
        transforms=tuple(transform or ()),
        budget=budget,
        fields=changed(option, flags),
    )

    if subject.model in TEXT_MODELS:
        others = {"--teacher": teacher, "--target": target, "--target-model": target_model,
                  "--workers": workers or None}  # fmt: skip
        check_no_images(subject, others)
        train_text(
            subject, texts, load_recipe(recipe, None, change), out, resume=resume, track=track,
            as_json=as_json,
        )  # fmt: skip
        return
    texts.check_unused()
    if is_text(subject.data):
        raise InputError(
            f"{subject.data} holds texts, and {subject.model} is of images; give one of"
            f" {', '.join(TEXT_MODELS)}"
        )

    def plan_for(statistics: Statistics, shape: tuple[int, ...] | None) -> Recipe:
        plan = load_recipe(recipe, statistics, change)
        threat = threat_of(plan.objective)
        if isinstance(threat, NormBall) and shape is not None:
            threat.check_width(shape)
        return plan

    place = Place(out, "train", FILES)
    prepared = prepare(subject, split="train", measured=False, check=plan_for, place=place)
    images = prepared.data
    tests: ImageData | None = read_data(subject, "test", prepared.device)
    if tests is not None and tests.split == images.split:
        tests = None  # a source of one set: accuracy on its training images is no test
        note(f"note: {images.name} has no test images apart; no test accuracy is measured")
    plan = with_target(
        plan_for(prepared.statistics, images.shape), subject, target, target_model, prepared
    )
    identity = {
        **prepared.identity,
        "data": subject.data,
        "initial_weights": weights_fingerprint(prepared.model),
    }
    taught_by = None if teacher is None else read_teacher(subject, teacher, prepared)
    begun = False

    def tell(tick: Tick) -> None:
        # Said once it is true: what is wrong with the input is known before the first step.
        nonlocal begun
        if not begun and not as_json:
            note(
                f"training {subject.model} on {len(images):,} images of {images.name} by {recipe},"
                f" {_trained_for(plan.objective)}"
            )
        begun = True
        show(tick)

    with progress("training") as show:
        trained = run(
            prepared.model,
            images,
            plan,
            out=out,
            test=tests,
            seed=subject.seed,
            resume=resume,
            teacher=taught_by,
            identity=identity,
            tracker=track,
            workers=workers,
            progress=tell,
        )
    tell_trained(
        trained,
        Told(
            subject.model,
            images.name,
            out,
            plan,
            {"normalisation": prepared.identity["normalisation"]},
        ),
        as_json,
    )


def _trained_for(objective: TrainingObjective) -> str:
    """Return what a training makes the model robust against, in words."""
    from saddlepoint.defences import threat_of

    threat, attack = threat_of(objective), getattr(objective, "attack", None)
    if threat is None:
        return "on clean images"
    if attack is None:
        return f"against {threat} by {type(objective).__name__}"
    steps = getattr(attack, "steps", None)
    length = "" if steps is None else f", {steps} step{'' if steps == 1 else 's'}"
    return f"against {threat} by {type(attack).__name__}{length}"
