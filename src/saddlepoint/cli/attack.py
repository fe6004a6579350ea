"""`saddlepoint attack`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.console import progress, result, table
from saddlepoint.cli.images import choose_device, read_data
from saddlepoint.cli.model import (
    ModelChoice,
    build_surrogate,
    note_random_weights,
    prepare_model,
)
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.evaluation import AttackRecord


@options.bundled
def attack(
    data: options.Data,
    model: options.Model,
    attack: Annotated[
        str,
        typer.Option(
            help="A name (see `saddlepoint attacks`), or FILE.py:NAME, which runs that file's code.",
            autocompletion=complete.of(complete.ATTACKS),
        ),
    ],
    out: options.Out,
    eps: Annotated[
        str | None,
        typer.Option(
            help="The budget: 8/255, 0.5 … Without it a minimum-norm attack reports distances; the others"
            " need it."
        ),
    ] = None,
    norm: options.Norm = "linf",
    space: options.Space = "pixels",
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyper-parameter, NAME=VALUE: steps=40, step_size=2/255 …"),
    ] = None,
    target: Annotated[
        int | None, typer.Option(help="Attack towards this class, a number from 0.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="Attack towards other classes: average (one at random), best or worst (all; the"
            " easiest or the hardest counts)."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture, .npy or .pt: light or non-zero where a feature may change."),
    ] = None,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            help="Transfer: weights (a file, or a training's folder) of the model that is attacked"
            " in this one's place."
        ),
    ] = None,
    surrogate_model: Annotated[
        str | None, typer.Option(help="The surrogate's architecture, if not that of --model.")
    ] = None,
    restarts: Annotated[
        int,
        typer.Option(min=1, max=MOST, help="Run the attack this often, from other random draws."),
    ] = 1,
    bpda: Annotated[
        list[str] | None,
        typer.Option(help="A module of the model whose backward becomes the identity; repeatable."),
    ] = None,
    lattice: Annotated[
        bool,
        typer.Option(
            "--eight-bit", help="A minimum-norm attack's results as 8-bit images that fool."
        ),
    ] = False,
    smallest: Annotated[
        bool,
        typer.Option(
            "--smallest", help="Search for the smallest budget at which the attack fools."
        ),
    ] = False,
    wrap: Annotated[
        list[str] | None,
        typer.Option(
            help="An attack around the attack: bpda=MODULE, transfer=WEIGHTS, restarted=5, smallest,"
            " eight-bit; repeatable, the first one innermost, around those of the options above.",
            autocompletion=complete.of(complete.WRAPPERS),
        ),
    ] = None,
    criterion: options.Criterion = "misclassified",
    eot_samples: options.EotSamples = None,
    png: Annotated[
        bool, typer.Option("--png", help="Also write 8-bit PNG files, judged again after rounding.")
    ] = False,
    split: options.Split = "test",
    batch_size: options.BatchSize = 128,
    classes: options.Classes = None,
    limit: options.Limit = None,
    *,
    given: options.DataOptions,
    network: options.ModelOptions,
    as_json: options.Json = False,
) -> None:
    """Run one attack and keep the adversarial images.

    OUT gets attack.json, images.parquet (a row per image), adversarials.npz and a figure of images
    before, perturbation and after. The same command goes on where an interrupted one stopped.
    """
    place = choose_device(given)
    images = read_data(data, given, split, place, limit)
    choice = ModelChoice(model, network, classes)
    prepared = prepare_model(choice, images, place)
    images = prepared.data

    from saddlepoint.attacks import build_attack, parse_criterion, wrapped
    from saddlepoint.attacks.core.targets import case_of
    from saddlepoint.evaluation import read_mask, run_attack
    from saddlepoint.files import write
    from saddlepoint.reports import adversarial_grid, drawable, figure_bytes
    from saddlepoint.threat import threat_from
    from saddlepoint.zoo import weights_fingerprint

    note_random_weights(choice)
    identity = prepared.identity
    budget = math.inf if eps is None else eps
    threat = threat_from(norm, budget, space, "image", prepared.statistics, images.shape)
    chosen = build_attack(attack, threat, options.pairs(option))
    chosen = replace(chosen, criterion=parse_criterion(criterion))

    def lend(weights: str) -> nn.Module:
        own = replace(network, weights=Path(weights), pretrained=False)
        lent = build_surrogate(ModelChoice(surrogate_model or model, own), images, place)
        identity["surrogate"] = weights_fingerprint(lent)
        return lent

    words = [
        *([f"bpda={','.join(bpda)}"] if bpda else []),
        *([f"transfer={surrogate}"] if surrogate is not None else []),
        *([f"restarted={restarts}"] if restarts > 1 else []),
        *(["smallest"] if smallest else []),
        *(["eight-bit"] if lattice else []),
        *(wrap or []),
    ]
    transfers = sum(word.startswith("transfer=") for word in words)
    if surrogate_model is not None and not transfers:
        raise InputError("--surrogate-model needs its weights; give --surrogate")
    if transfers > 1:
        raise InputError(f"there is one surrogate at most; transfer is given {transfers} times")
    chosen = wrapped(chosen, words, lend)
    with progress("attacking") as tick:
        record = run_attack(
            prepared.model,
            images,
            chosen,
            target=target,
            targets=case_of(targets),
            mask=None if mask is None else read_mask(mask, images.shape),
            out=out,
            png=png,
            batch_size=batch_size,
            seed=network.seed,
            eot_samples=eot_samples,
            identity=identity,
            progress=tick,
        )
    figure: Path | None = None
    if drawable(images.shape):
        figure = out / "examples.png"
        if not figure.exists():  # a finished attack is only read
            drawn = adversarial_grid(images, record.result, ids=record.ids)
            write(figure, figure_bytes(drawn))
    result(record.json(), as_json, lambda: _show(record, out, figure))


def _show(record: AttackRecord, out: Path, figure: Path | None) -> None:
    table(
        (
            "clean accuracy",
            "accuracy under attack",
            "attack success",
            "mean distance",
            "passes per image",
        ),
        [
            (
                str(record.clean),
                str(record.robust_accuracy),
                str(record.success),
                "–" if record.mean_distance is None else f"{record.mean_distance:.4g}",
                f"{record.forwards:.1f} + {record.backwards:.1f}",
            )
        ],
        title=record.title,
    )
    for line in record.notes:
        print(f"note: {line}")
    if record.eight_bit is not None:
        before, after = record.eight_bit
        print(f"success in floating point {before}; after rounding to 8 bits {after}")
        print(f"pictures {out / 'png'}")
    print(f"record {out / 'attack.json'}\nimages {out / 'images.parquet'}")
    print(f"tensors {out / 'adversarials.npz'}")
    if figure is not None:
        print(f"figure {figure}")
