"""The accuracy of a model under common corruptions, measured one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saddlepoint.attacks import Misclassified, Stages
from saddlepoint.configuration import configuration
from saddlepoint.counts import check_count, check_seed
from saddlepoint.data import Corruption, DataLike, ImageData, as_data, corrupted, data_identity
from saddlepoint.data.corruptions import CORRUPTIONS, SEVERITIES, VERSION, Form, corruptions_named
from saddlepoint.errors import InputError
from saddlepoint.evaluation.asked import Asked
from saddlepoint.evaluation.corruption_record import (
    RECORD_FILE,
    CorruptedShare,
    CorruptionAccuracy,
)
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.mean_share import mean_share
from saddlepoint.evaluation.outputs import check_outputs
from saddlepoint.evaluation.randomness import passes_for
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.steps import FOLDER, Steps
from saddlepoint.model import Guard, reading
from saddlepoint.progress import Meter, Progress
from saddlepoint.run_folders import claimed
from saddlepoint.zoo import weights_fingerprint

CORRUPTION_FILES = (RECORD_FILE, FOLDER)
"""What a measurement under corruptions writes besides `run.json`."""
_FROST = (
    "frost is drawn here and photographed in the published sets: its accuracy, and means that hold"
    " it, are not to be compared with published ones"
)


def corruption_accuracy(
    model: nn.Module,
    data: DataLike,
    *,
    names: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    form: Form | None = None,
    seed: int = 0,
    batch_size: int = 128,
    out: Path | str | None = None,
    output: str | int | None = None,
    identity: Any = None,
    progress: Progress | None = None,
) -> CorruptionAccuracy:
    """Return the accuracy of a model on images as they are and under every corruption.

    It is a pass over all images for each corruption and severity. A model that is random at inference
    is averaged over ten passes, as in an evaluation.

    Args:
        model: from images in [0, 1] to logits.
        data: clean images, in any form that `as_data` takes; an image's index is its id.
        names: of corruptions; None is all fifteen.
        severities: of each, 1 … 5.
        form: whose constants; None is by the size of the images, see `corrupted`.
        seed: of every random draw.
        batch_size: images per pass.
        out: a folder for the record. Of what was measured there before, whole or in part, nothing is
            done again, and the record holds it all: it grows with what is asked for.
        output: which of several outputs of the model are the logits; see `ReadOutput`.
        identity: what else distinguishes the run, for the folder.
        progress: is told of the images that are done.

    Raises `InputError` for names, severities and images that cannot be, and for a folder that holds
    another model, other images or another seed.

    Reference: Hendrycks and Dietterich 2019, arXiv:1903.12261.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> found = corruption_accuracy(net, data, names=["fog", "contrast"], severities=[1, 5])
    >>> [(row.corruption, row.severity) for row in found.rows]
    [('fog', 1), ('fog', 5), ('contrast', 1), ('contrast', 5)]
    """
    Guard(model, 0)  # refuses what is no module
    model = reading(model, output)
    out = None if out is None else Path(out)
    check_count("batch_size", batch_size)
    check_seed(seed)
    source = as_data(data)
    if not len(source):
        raise InputError(f"{source.name} has no images; measure at least one")
    asked = _conditions(source, names, severities, form, seed)
    told = check_outputs(model, source)
    passes = passes_for(model, source, None)
    if passes.random:
        told = (*told, f"the model is random at inference; {passes.samples} passes are averaged")
    config = configuration(
        {
            "model": weights_fingerprint(model),
            "identity": identity,
            "data": data_identity(source),
            "constants": corrupted(source, asked[0][0], 1, form=form).form,
            "version": VERSION,
            "seed": seed,
        }
    )
    ids = torch.arange(len(source))
    asked_model = Asked(model, Misclassified(), passes.samples, seed)

    def measured(steps: Steps, meter: Meter, name: str, images: ImageData) -> Columns:
        def work(batch: Tensor, stages: Stages | None) -> Columns:
            with meter.watching():
                labels = images.labels[batch.to(images.labels.device)]
                told = asked_model.clean(images.images(batch), labels, batch)
            meter.add(len(batch))
            return {"right": told["right"]}

        meter.say(name)
        return steps.run(name, ids, work)

    with claimed(out, "corrupt", config, CORRUPTION_FILES), Steps(out, batch_size) as steps:
        before = _recorded(out)
        wanted = _united(asked, before)
        titles = ["clean", *(_title(*each) for each in wanted)]
        missing = sum(steps.missing(title, ids) for title in titles)
        meter = Meter(progress, missing, "images")
        clean = measured(steps, meter, "clean", source)
        found = {
            (each.name, severity): measured(
                steps,
                meter,
                _title(each, severity),
                corrupted(source, each, severity, seed, form=form),
            )
            for each, severity in wanted
        }
        record = _record(clean, found, config, told)
        if out is not None:
            steps.keep()
            if record != before:
                record.save(out)
    return record


def _conditions(
    data: ImageData,
    names: Sequence[str] | None,
    severities: Sequence[int],
    form: Form | None,
    seed: int,
) -> list[tuple[Corruption, int]]:
    """Return each corruption with each severity; raise `InputError` for any that cannot be."""
    if isinstance(names, str):
        names = [names]
    if not len(severities):
        raise InputError("no severity is given; give some of 1, 2, 3, 4, 5")
    chosen = corruptions_named(names)
    for severity in severities:
        corrupted(data, chosen[0], severity, seed, form=form)
    return [(each, severity) for each in chosen for severity in sorted(set(severities))]


def _title(corruption: Corruption, severity: int) -> str:
    return f"{corruption.name} {severity}"


def _recorded(out: Path | None) -> CorruptionAccuracy | None:
    if out is None or not (out / RECORD_FILE).exists():
        return None
    return CorruptionAccuracy.load(out)


def _united(
    asked: Sequence[tuple[Corruption, int]], before: CorruptionAccuracy | None
) -> list[tuple[Corruption, int]]:
    """Return what is asked for and what a record has, in the paper's order."""
    places = {name: place for place, name in enumerate(CORRUPTIONS)}
    pairs = {(each.name, severity) for each, severity in asked}
    if before is not None:
        pairs |= {(row.corruption, row.severity) for row in before.rows if row.corruption in places}
    ordered = sorted(pairs, key=lambda pair: (places[pair[0]], pair[1]))
    return [(CORRUPTIONS[name], severity) for name, severity in ordered]


def _record(
    clean: Columns,
    found: dict[tuple[str, int], Columns],
    config: dict[str, Any],
    notes: tuple[str, ...],
) -> CorruptionAccuracy:
    shares: dict[str, list[Tensor]] = {}
    for (name, _), columns in found.items():
        shares.setdefault(name, []).append(columns["right"].double())
    of_each = [torch.stack(each).mean(0) for each in shares.values()]
    per_image: np.ndarray[Any, Any] = torch.stack(of_each).mean(0).numpy()
    seconds = math.fsum(float(each["seconds"].sum()) for each in (clean, *found.values()))
    return CorruptionAccuracy(
        _share(clean),
        tuple(CorruptedShare(*pair, _share(columns)) for pair, columns in found.items()),
        mean_share(per_image, trials=len(found)),
        config,
        seconds,
        (*notes, *((_FROST,) if "frost" in shares else ())),
    )


def _share(columns: Columns) -> Proportion:
    return Proportion(int(columns["right"].sum()), len(columns["right"]))
