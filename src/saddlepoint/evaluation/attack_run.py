"""One attack over a data set, a batch at a time, with its images kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from saddlepoint.answers import NO_CLASS, check_answered, silence, silence_under_attack
from saddlepoint.attacks import Attack, AttackResult, Stages, attack_targets, tie_note
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.attacks.core.over_data import unanswered_before
from saddlepoint.attacks.core.result import TENSORS
from saddlepoint.attacks.core.targets import TargetCase
from saddlepoint.checks import in_range
from saddlepoint.configuration import configuration
from saddlepoint.counts import check_count, check_seed
from saddlepoint.data import DataLike, as_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation.attack_record import (
    RECORD_FILE,
    TENSORS_FILE,
    AttackRecord,
)
from saddlepoint.evaluation.export import export_png
from saddlepoint.evaluation.forecast import Forecast, Stage
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.outputs import check_outputs, check_target
from saddlepoint.evaluation.randomness import passes_for
from saddlepoint.evaluation.record import IMAGES_FILE
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.steps import FOLDER, Steps, joined
from saddlepoint.files import fingerprint
from saddlepoint.model import Guard, reading
from saddlepoint.progress import Progress
from saddlepoint.run_folders import claimed
from saddlepoint.zoo import weights_fingerprint

PICTURES = "png"

ATTACK_FILES = (RECORD_FILE, TENSORS_FILE, IMAGES_FILE, PICTURES, FOLDER)
"""What an attack writes besides `run.json`."""


def run_attack(
    model: nn.Module,
    data: DataLike,
    attack: Attack,
    *,
    target: int | None = None,
    targets: TargetCase | None = None,
    mask: Bool[Tensor, ...] | None = None,
    out: Path | str | None = None,
    unfinished: Path | str | None = None,
    png: bool = False,
    batch_size: int = 128,
    seed: int = 0,
    eot_samples: int | None = None,
    output: str | int | None = None,
    identity: Any = None,
    progress: Progress | None = None,
) -> AttackRecord:
    """Run `attack` on every image; an interrupted run goes on in the same folder, a
    finished one is read.

    Args:
        model: from images in [0, 1] to logits.
        data: the images, in any form that `as_data` takes; an image's index is its identity.
        target: attack towards this class; images of the class itself are left out.
        targets: towards a random other class of each image ("average"), or towards every one, of
            which the easiest ("best") or the hardest ("worst") counts; see `attack_targets`.
        mask: of the shape of one image, True where a feature may change.
        out: a folder for the record, the images and what is done of them so far.
        unfinished: a folder for what is done so far, of a caller who keeps the result and removes
            this himself; None is `out`.
        png: also write 8-bit PNG files under OUT/png and judge them.
        batch_size, seed: of the passes, of the random draws.
        eot_samples: passes averaged at each step; None is 10 for a model that is random at
            inference, else the attack's own.
        output: which of several outputs of the model are the logits; see `ReadOutput`.
        identity: what else distinguishes the run, for the folder.
        progress: is told of the images and steps that are done; see `saddlepoint.progress`.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> run_attack(net, data, FGSM(Linf(0.1))).clean.total
    20
    """
    Guard(model, 0)  # refuses what is no module
    model = reading(model, output)
    out = None if out is None else Path(out)
    check_count("batch_size", batch_size)
    check_seed(seed)
    if eot_samples is not None:
        check_count("eot_samples", eot_samples)
    if png and out is None:
        raise InputError("png needs a folder; give out")
    if target is not None and targets is not None:
        raise InputError("target and targets exclude each other; give one")
    if png and (targets is not None or mask is not None):
        raise InputError("rounding to 8 bits knows no mask, and one target at most; leave png out")
    source = as_data(data)
    labels = source.labels.cpu()
    ids = torch.arange(len(source))
    if target is not None:
        check_target(target, model, source)
        ids = ids[labels != target]
    if not len(ids):
        raise InputError(f"{source.name} has no images to attack; give at least one")
    own = attack.eot_samples if attack.eot_samples > 1 else None
    known = check_outputs(model, source, attack.criterion)
    passes = passes_for(model, source, own if eot_samples is None else eot_samples)
    notes = (*known, *passes.notes)
    if target is not None or targets is not None:
        notes = (
            *notes,
            "targeted: accuracy here is the share of images not classified as the target",
        )
    stop = "never" if passes.samples > 1 else attack.stop
    attack = replace(attack, eot_samples=passes.samples, stop=stop)
    config = configuration(
        {
            "model": weights_fingerprint(model),
            "identity": identity,
            "data": {"name": source.name, "split": source.split, "fingerprint": source.fingerprint},
            "attack": attack,
            "threat": str(attack.threat),
            "space": attack.threat.space,
            "target": target,
            "targets": targets,
            "mask": None if mask is None else fingerprint(mask.cpu().numpy().tobytes()),
            "png": png,
            "seed": seed,
        }
    )
    each = 1 if targets in (None, "average") else len(source.classes) - 1
    stage = Stage(type(attack).__name__, str(attack.threat), each * attack.expected_steps)
    forecast = Forecast(progress, [stage], len(ids))

    def finished() -> bool:
        return out is not None and (out / RECORD_FILE).exists()

    def batch(chunk: Tensor, stages: Stages | None) -> Columns:
        images = in_range(source.images(chunk), *pixel_range(attack.threat))
        goals = labels[chunk]
        goal = None if target is None else torch.full_like(goals, target)
        options: dict[str, Any] = {
            **{"seed": seed, "ids": chunk, "mask": mask},
            **{"random": passes.random, "stages": stages, "whole": False},
        }
        with forecast.batch(len(chunk)):
            if targets is None:
                result = attack(model, images, goals, goal, **options)
            else:
                result = attack_targets(attack, model, images, goals, targets, **options).result
        columns = {name: getattr(result, name) for name in TENSORS}
        if png and out is not None:
            exported = export_png(
                model,
                images,
                goals,
                result,
                attack.threat,
                out / PICTURES,
                targets=goal,
                ids=chunk,
                seed=seed,
                criterion=attack.criterion,
                eot_samples=attack.eot_samples,
            )
            columns["eight_bit"] = exported.result.success
        return columns

    def attacked(steps: Steps) -> Columns:
        parts = [(f"part {number}", some) for number, some in enumerate(steps.parts(ids))]
        done = sum(len(some) - steps.missing(name, some) for name, some in parts)
        forecast.begin(stage, standing=len(ids), done=done)
        found = joined([steps.run(name, some, batch) for name, some in parts])
        steps.release()
        wrong = found["initially_wrong"]
        forecast.end(
            fooled=int((found["success"] & ~wrong).sum()),
            wrong=int(wrong.sum()),
            forwards=int(found["forwards"].sum()),
            backwards=int(found["backwards"].sum()),
        )
        return found

    with claimed(out, "attack", config, ATTACK_FILES, finished) as found:
        if out is not None and found == "finished":
            return AttackRecord.load(out)
        with Steps(out if unfinished is None else Path(unfinished), batch_size) as steps:
            columns = attacked(steps)
        record = _record(columns, labels, config, attack.threat.space, notes)
        check_answered(~unanswered_before(record.result), model)
        if out is not None:
            record.save(out)
            steps.forget()
    return record


def _record(
    columns: Columns, labels: Tensor, config: Any, space: str, notes: tuple[str, ...]
) -> AttackRecord:
    attacked = ~columns["initially_wrong"]
    total = int(attacked.sum())
    eight_bit = None
    if "eight_bit" in columns:
        before, after = (
            Proportion(int((columns[name] & attacked).sum()), total)
            for name in ("success", "eight_bit")
        )
        eight_bit = (before, after)
    result = AttackResult(**{name: columns[name] for name in TENSORS}, space=space)
    silent = unanswered_before(result)
    lost = (result.predictions == NO_CLASS) & ~silent
    counts = ((silence, int(silent.sum())), (silence_under_attack, int(lost.sum())))
    told = [say(count, len(result)) for say, count in counts if count]
    told += [each for each in (tie_note(result.tied),) if each is not None]
    return AttackRecord(
        config=config,
        ids=columns["id"],
        labels=labels[columns["id"]],
        result=result,
        eight_bit=eight_bit,
        seconds=float(columns["seconds"].sum()),
        notes=(*notes, *told),
    )
