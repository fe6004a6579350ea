"""`saddlepoint diagnose`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import progress, result, tables
from saddlepoint.cli.diagnosis import DiagnosisOptions, diagnosis_of
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import prepare
from saddlepoint.counts import MOST
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.evaluation import Evaluation
    from saddlepoint.evaluation.second_look import SecondLook


@options.bundled
def diagnose(
    subject: options.Corruptible,
    diagnosis: DiagnosisOptions,
    eps: Annotated[str, typer.Option(help="The budget that is asked about, such as 8/255.")],
    norm: options.Norm = "linf",
    space: options.Space = "pixels",
    suite: options.Suite = "fast",
    criterion: options.Criterion = "misclassified",
    images: Annotated[
        int, typer.Option(min=1, max=MOST, help="Look at the first N images of the data.")
    ] = 128,
    batch_size: options.BatchSize = 128,
    eot_samples: options.EotSamples = None,
    as_json: options.Json = False,
) -> None:
    """Say whether a robust accuracy of this model can be trusted.

    Runs every check on the first images, prints what each found and what to do; nothing is written.
    `evaluate` runs the same checks and keeps them with its record.
    """
    import torch

    from saddlepoint.attacks import parse_criterion
    from saddlepoint.evaluation import build_suite, evaluate, second_look
    from saddlepoint.threat import Statistics, ThreatModel, parse_eps, threat_from

    fooled, budget = parse_criterion(criterion), parse_eps(eps)

    def threat_for(statistics: Statistics, shape: tuple[int, ...] | None) -> ThreatModel:
        threat = threat_from(norm, budget, space, "image", statistics, shape)
        build_suite(suite, threat)
        return threat

    subject = replace(subject, limit=min(images, subject.limit or images))
    prepared = prepare(subject, check=threat_for)
    data = prepared.data
    note_random_weights(subject)
    asked = diagnosis_of(diagnosis, subject, prepared)
    threat = threat_for(prepared.statistics, data.shape)
    with progress("diagnosing") as tick:
        record = evaluate(
            prepared.model,
            data,
            threat,
            suite=suite,
            batch_size=batch_size,
            seed=subject.seed,
            eot_samples=eot_samples,
            criterion=fooled,
            progress=tick,
            diagnosis=replace(asked, second_look=0),
        )
    stands = [i for i, who in enumerate(record.images["fooled_by"].to_pylist()) if not who]
    look, failed = None, None
    if asked.second_look:
        try:
            look = second_look(
                prepared.model,
                data,
                torch.tensor(stands, dtype=torch.int64),
                threat,
                asked.second_look,
                seed=subject.seed,
                criterion=fooled,
            )
        except InputError as error:  # more images than survived: the rest is told first
            failed = error
    told = _json(record) if look is None else {**_json(record), "second_look": look.json()}
    result(told, as_json, lambda: _show(record, look))
    if failed is not None:
        raise failed


def _json(record: Evaluation) -> dict[str, object]:
    verdict = None if record.verdict is None else record.verdict.json()
    return {"verdict": verdict, **{k: v for k, v in record.json().items() if k != "verdict"}}


def _show(record: Evaluation, look: SecondLook | None) -> None:
    verdict = record.verdict
    if verdict is not None:
        tables([verdict.table(), *(each.table for each in verdict.supplements)])
        if prose := verdict.prose():
            print(f"\n{prose}\n")
    tables([*(() if look is None else look.tables()), record.budget_table()])
