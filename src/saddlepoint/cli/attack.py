"""`saddlepoint attack`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import complete, options
from saddlepoint.cli.attack_options import AttackOptions
from saddlepoint.cli.console import command_line, progress, result, table
from saddlepoint.cli.embedding import prepare_in, show_sentences
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import Place
from saddlepoint.cli.text_options import TextReading
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.evaluation import AttackRecord
    from saddlepoint.reports.page.sentences import Sentence


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
    given: AttackOptions,
    texts: TextReading,
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
    from saddlepoint.evaluation import ATTACK_FILES, run_attack
    from saddlepoint.files import write
    from saddlepoint.reports import adversarial_grid, drawable, figure_bytes
    from saddlepoint.reports.attack import attack_document
    from saddlepoint.reports.page.document import PAGE
    from saddlepoint.reports.sentences import attacked_sentences
    from saddlepoint.text import EmbeddedText

    if png and given.space == "embedding":
        raise InputError("--png is of images; leave it out in the space embedding")
    case, check = given.case, given.checker(attack)
    place = Place(out, "attack", ATTACK_FILES)
    prepared = prepare_in(given.space, subject, texts, check=check, place=place)
    images = prepared.data
    note_random_weights(subject)
    chosen = given.attack(attack, subject, prepared)
    with progress("attacking") as tick:
        record = run_attack(
            prepared.model,
            images,
            chosen,
            target=given.target,
            targets=case,
            mask=given.where(images.shape),
            out=out,
            png=png,
            batch_size=batch_size,
            seed=subject.seed,
            eot_samples=given.eot_samples,
            identity=prepared.identity,
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
    sentences: tuple[Sentence, ...] = ()
    if isinstance(images, EmbeddedText):
        sentences = attacked_sentences(images, record.ids, record.result)
    result(record.json(), as_json, lambda: _show(record, out, figure, sentences))


def _show(
    record: AttackRecord, out: Path, figure: Path | None, sentences: Sequence[Sentence]
) -> None:
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
    show_sentences(sentences)
    print(
        "note: the accuracy is under this attack alone, and not examined; see saddlepoint evaluate"
    )
    print(f"record {out / 'attack.json'}\nimages {out / 'images.parquet'}")
    print(f"tensors {out / 'adversarials.npz'}")
    if figure is not None:
        print(f"figure {figure}")
    print(f"page {out / 'report.html'}")
