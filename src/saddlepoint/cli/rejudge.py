"""`saddlepoint rejudge`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saddlepoint.cli import options
from saddlepoint.cli.console import command_line, note, progress, result, table
from saddlepoint.cli.model import note_random_weights
from saddlepoint.cli.prepare import prepare
from saddlepoint.errors import InputError
from saddlepoint.progress import Meter
from saddlepoint.reading import shown

if TYPE_CHECKING:
    from saddlepoint.evaluation import Audit


@options.bundled
def rejudge(
    file: Annotated[Path, typer.Argument(help="A .npz, a .pt of tensors, or a folder of PNG.")],
    subject: options.Corruptible,
    eps: Annotated[
        str | None,
        typer.Option(help="The budget: 8/255, 0.5 … Without it any distance is allowed."),
    ] = None,
    norm: options.Norm = "linf",
    space: options.Space = "pixels",
    target: Annotated[int | None, typer.Option(help="The class that was to be reached.")] = None,
    criterion: options.Criterion = "misclassified",
    eot_samples: options.EotSamples = None,
    batch_size: options.BatchSize = 128,
    page: Annotated[
        Path | None, typer.Option(help="Write a page of what was found: a file, PAGE.html.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Audit adversarial images that somebody saved: which really are adversarial and allowed.

    The images belong to the first ones of the data, in their order, unless the file says otherwise
    (an array `ids`, or file names that begin with the index).
    """
    import torch

    from saddlepoint.answers import check_answered, silence
    from saddlepoint.attacks import parse_criterion
    from saddlepoint.attacks.core.over_data import unanswered_before
    from saddlepoint.evaluation import Audit, check_outputs, read_saved, rejudge
    from saddlepoint.evaluation.randomness import passes_for
    from saddlepoint.reports.attack import audit_document
    from saddlepoint.threat import Statistics, ThreatModel, threat_from

    fooled = parse_criterion(criterion)

    def threat_for(statistics: Statistics, shape: tuple[int, ...] | None) -> ThreatModel:
        budget = math.inf if eps is None else eps
        return threat_from(norm, budget, space, "image", statistics, shape)

    prepared = prepare(subject, check=threat_for)
    images = prepared.data
    threat = threat_for(prepared.statistics, images.shape)
    note_random_weights(subject)
    if target is not None and not 0 <= target < len(images.classes):
        raise InputError(f"target is {target}; the classes are 0 … {len(images.classes) - 1}")
    saved, index = read_saved(file, images.shape)
    if index is None:
        index = torch.arange(len(saved))
    if int(index.max()) >= len(images) or int(index.min()) < 0:
        raise InputError(
            f"{shown(file)} belongs to image {int(index.max())}; {images.name} has {len(images)}"
        )
    told = check_outputs(prepared.model, images, fooled)
    passes = passes_for(prepared.model, images, eot_samples)
    parts = []
    with progress("judging") as tick:
        meter = Meter(tick, len(saved), "images")
        for rows in torch.split(torch.arange(len(saved)), batch_size):
            which = index[rows]
            goals = None if target is None else torch.full_like(which, target)
            with meter.watching():
                audit = rejudge(
                    prepared.model,
                    images.images(which),
                    images.labels.cpu()[which],
                    saved[rows],
                    threat,
                    targets=goals,
                    criterion=fooled,
                    eot_samples=passes.samples,
                    seed=subject.seed,
                    whole=False,
                )
            parts.append(audit)
            meter.add(len(rows))
    audit = Audit.cat(parts)
    silent = unanswered_before(audit.result)
    check_answered(~silent, prepared.model)
    count = int(silent.sum())
    answers = (silence(count, len(silent)),) if count else ()
    for line in (*told, *passes.notes, *answers):
        note(line)
    record = {**_json(audit, str(threat)), "subject": prepared.identity}
    if page is not None:
        title = f"{shown(file.name)}, {threat}"
        asked = {"subject": prepared.identity, "threat": str(threat), "seed": subject.seed}
        document = audit_document(
            audit,
            images,
            index,
            title=title,
            rows=_rows(audit),
            provenance=asked,
            command=command_line(),
        )
        document.save(page)
    result(record, as_json, lambda: _show(audit, file, str(threat)))


def _rows(audit: Audit) -> list[tuple[str, Any]]:
    return [
        ("fools the model", audit.share(audit.fooled)),
        ("in the valid range", audit.share(audit.in_range)),
        ("within the budget", audit.share(audit.within_budget)),
        ("all three", audit.success),
    ]


def _json(audit: Audit, threat: str) -> dict[str, Any]:
    shares = {name.replace(" ", "_"): share.json() for name, share in _rows(audit)}
    distance = audit.distance[audit.attacked & audit.distance.isfinite()]
    return {
        "threat": threat,
        "images": len(audit.result),
        "initially_wrong": int(audit.result.initially_wrong.sum()),
        **shares,
        "robust_accuracy": audit.robust_accuracy.json(),
        "largest_distance": float(distance.max()) if len(distance) else None,
    }


def _show(audit: Audit, file: Path, threat: str) -> None:
    attacked = int(audit.attacked.sum())
    title = f"{shown(file.name)}, {threat}: {attacked} images that the model classifies correctly"
    table(("of these", "share"), [(name, str(share)) for name, share in _rows(audit)], title=title)
    images = f"{len(audit.result)} images"
    print(
        f"robust accuracy over all {images}: {audit.robust_accuracy}, of one attack and not examined"
    )
