"""`saddlepoint evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import command_line, progress, result, tables
from saddlepoint.cli.diagnosis import DiagnosisOptions, diagnosis_of
from saddlepoint.cli.embedding import prepare_in, show_sentences
from saddlepoint.cli.limits import LimitOptions, limits_of
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import Place
from saddlepoint.cli.text_options import TextReading

if TYPE_CHECKING:
    from saddlepoint.evaluation import Evaluation
    from saddlepoint.evaluation.breakdown import ClassShare


@options.bundled
def evaluate(
    subject: options.Corruptible,
    texts: TextReading,
    diagnosis: DiagnosisOptions,
    limits: LimitOptions,
    eps: Annotated[
        list[str], typer.Option(help="A budget, such as 8/255; give several for a curve.")
    ],
    out: options.Out,
    norm: options.Norm = "linf",
    space: options.Space = "pixels",
    suite: options.Suite = "fast",
    criterion: options.Criterion = "misclassified",
    batch_size: options.BatchSize = 128,
    eot_samples: options.EotSamples = None,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="Also print clean and robust accuracy of every class, and which classes its images"
            " become at the largest budget.",
        ),
    ] = False,
    corruptions: Annotated[
        Path | None,
        typer.Option(
            help="A folder of `saddlepoint corrupt` of this model: the page shows it too."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure clean and robust accuracy at one or more budgets, and say whether to trust them.

    Cheap attacks come first and only survivors go on; checks look for what would make the number too
    high. OUT gets evaluation.json, images.parquet (the worst case of every image), attempts.parquet
    (every attack on every image), worst/ (the worst image of each), the accuracy curve and report.html,
    the page that shows it all (`saddlepoint open OUT`). The same command goes on where an interrupted one
    stopped, or one whose time was up.
    """
    from saddlepoint.attacks import parse_criterion
    from saddlepoint.evaluation import EVALUATION_FILES, CorruptionAccuracy, build_suite
    from saddlepoint.evaluation import evaluate as run
    from saddlepoint.files import write
    from saddlepoint.reports import accuracy_curve, figure_bytes
    from saddlepoint.reports.evaluation import write_evaluation_page
    from saddlepoint.reports.evaluation.sentences import worst_sentences
    from saddlepoint.reports.page.document import PAGE
    from saddlepoint.text import EmbeddedText
    from saddlepoint.threat import Statistics, ThreatModel, parse_eps, threat_from

    fooled = parse_criterion(criterion)
    corrupted = None if corruptions is None else CorruptionAccuracy.load(corruptions)
    budgets = [parse_eps(each) for each in eps]
    limited, start = limits_of(limits)
    limited.check(len({*budgets}))

    def threat_for(statistics: Statistics, shape: tuple[int, ...] | None) -> ThreatModel:
        first, *_ = (threat_from(norm, e, space, "image", statistics, shape) for e in budgets)
        build_suite(suite, first)
        return first

    place = Place(out, "evaluate", EVALUATION_FILES)
    prepared = prepare_in(space, subject, texts, check=threat_for, place=place)
    images = prepared.data
    threat = threat_for(prepared.statistics, images.shape)
    note_random_weights(subject)
    asked = diagnosis_of(diagnosis, subject, prepared)
    with progress("evaluating") as tick:
        record = run(
            prepared.model,
            images,
            threat,
            eps=budgets,
            suite=suite,
            out=out,
            batch_size=batch_size,
            seed=subject.seed,
            eot_samples=eot_samples,
            criterion=fooled,
            identity=prepared.identity,
            progress=tick,
            diagnosis=asked,
            limits=limited,
            warm_start=start,
        )
    figure, page = out / "accuracy.png", out / PAGE
    # A finished evaluation is only read, and there is no picture of what is an upper bound.
    if not record.left and _is_older(figure, out / "evaluation.json"):
        write(figure, figure_bytes(accuracy_curve({subject.model: record}, suite=suite)))
    if corrupted is not None or _is_older(page, out / "evaluation.json"):
        write_evaluation_page(
            record, out, prepared.model, images, fooled,
            name=subject.model, command=command_line(), corruptions=corrupted,
        )  # fmt: skip
    summary = {
        **record.json(),
        **({"per_class": [_class_json(each) for each in record.per_class()]} if per_class else {}),
        "files": {
            "record": str(out / "evaluation.json"),
            **({} if record.left else {"figure": str(figure)}),
            "page": str(page),
        },
    }
    result(summary, as_json, lambda: show_evaluation(record, out, per_class=per_class))
    if not as_json and isinstance(images, EmbeddedText):
        show_sentences(worst_sentences(record, out, images))


def _is_older(drawn: Path, record: Path) -> bool:
    """Return whether a figure or page is missing, or was drawn before a budget was added to its record."""
    if not drawn.is_file() or not drawn.stat().st_size:
        return True
    return drawn.stat().st_mtime_ns < record.stat().st_mtime_ns


def show_evaluation(record: Evaluation, out: Path, *, per_class: bool = False) -> None:
    """Print the tables of an evaluation and where its files are."""
    tables([*record.tables(), *([record.class_table()] if per_class else [])])
    if record.left:
        without = "" if record.decision is None else ", without --until to the end"
        print(f"what is done is kept in {out}; the same command goes on{without}")
        print(f"page {out / 'report.html'}")
        return
    names = {"record": "evaluation.json", "images": "images.parquet", "figure": "accuracy.png"}
    for name, file in {**names, "page": "report.html"}.items():
        print(f"{name} {out / file}")


def _class_json(found: ClassShare) -> dict[str, Any]:
    return {
        "label": found.label,
        "name": found.name,
        "clean_accuracy": found.clean.json(),
        "robust_accuracy": [each.json() for each in found.robust],
        "becomes": {str(label): count for label, count in found.becomes.items()},
    }
