"""`saddlepoint attack`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.assignments import pairs
from saddlepoint.cli.console import command_line, progress, result, table
from saddlepoint.cli.model import note_random_weights, read_given
from saddlepoint.cli.prepare import Place, build_surrogate, prepare
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.evaluation import AttackRecord


@options.bundled
def attack(
    subject: options.Corruptible,
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
    surrogate_model: options.SurrogateModel = None,
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
            help="An attack around the attack: bpda=MODULE, straight-through, smoothed, skip-gradient=0.5,"
            " transfer=WEIGHTS, restarted=5, smallest, shrinking, eight-bit; repeatable,"
            " the first one innermost, around those of the options above.",
            autocompletion=complete.of(complete.WRAPPERS),
        ),
    ] = None,
    criterion: options.Criterion = "misclassified",
    eot_samples: options.EotSamples = None,
    png: Annotated[
        bool, typer.Option("--png", help="Also write 8-bit PNG files, judged again after rounding.")
    ] = False,
    batch_size: options.BatchSize = 128,
    as_json: options.Json = False,
) -> None:
    """Run one attack and keep the adversarial images.

    OUT gets attack.json, images.parquet (a row per image), adversarials.npz and a figure of images
    before, perturbation and after; report.html shows them on a page. The same command goes
    on where an interrupted one stopped.
    """
    from torch import nn

    from saddlepoint.attacks import Attack, build_attack, parse_criterion, wrapped
    from saddlepoint.attacks.core.targets import case_of
    from saddlepoint.evaluation import ATTACK_FILES, read_mask, run_attack
    from saddlepoint.files import write
    from saddlepoint.reports import adversarial_grid, drawable, figure_bytes
    from saddlepoint.reports.attack import attack_document
    from saddlepoint.reports.page.document import PAGE
    from saddlepoint.threat import Statistics, threat_from
    from saddlepoint.zoo import weights_fingerprint

    fooled, case = parse_criterion(criterion), case_of(targets)
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

    def attack_for(statistics: Statistics, shape: tuple[int, ...] | None) -> Attack:
        budget = math.inf if eps is None else eps
        threat = threat_from(norm, budget, space, "image", statistics, shape)
        return replace(build_attack(attack, threat, pairs(option)), criterion=fooled)

    def readable(weights: str) -> nn.Module:
        read_given(Path(weights))
        return nn.Identity()

    prepared = prepare(
        subject,
        check=lambda *known: wrapped(attack_for(*known), words, readable),
        place=Place(out, "attack", ATTACK_FILES),
    )
    images, identity = prepared.data, prepared.identity
    note_random_weights(subject)

    def lend(weights: str) -> nn.Module:
        name = surrogate_model or subject.model
        lent = build_surrogate(subject, name, Path(weights), prepared)
        identity["surrogate"] = weights_fingerprint(lent)
        return lent

    chosen = wrapped(attack_for(prepared.statistics, images.shape), words, lend)
    with progress("attacking") as tick:
        record = run_attack(
            prepared.model,
            images,
            chosen,
            target=target,
            targets=case,
            mask=None if mask is None else read_mask(mask, images.shape),
            out=out,
            png=png,
            batch_size=batch_size,
            seed=subject.seed,
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
    page = out / PAGE
    if not page.exists():
        attack_document(record, out, images, name=subject.model, command=command_line()).save(page)
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
    print(
        "note: the accuracy is under this attack alone, and not examined; see saddlepoint evaluate"
    )
    print(f"record {out / 'attack.json'}\nimages {out / 'images.parquet'}")
    print(f"tensors {out / 'adversarials.npz'}")
    if figure is not None:
        print(f"figure {figure}")
    print(f"page {out / 'report.html'}")
