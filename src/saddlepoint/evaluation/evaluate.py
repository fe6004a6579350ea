"""Validates, configures and records an evaluation; the work is in at_work.py, the loop over budgets
and attacks in survivors.py.

Cheap attacks come first, budgets ascend, and only survivors go on: an image fooled at a budget is
fooled at every larger one, since the smaller ball lies in the larger. At the next budget survivors
start from what the last attack of the previous budget kept of them; AutoAttack, which has one
budget, carries nothing over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from saddlepoint.attacks import Criterion
from saddlepoint.counts import check_count, check_seed
from saddlepoint.data import DataLike, as_data, data_identity
from saddlepoint.errors import InputError
from saddlepoint.evaluation.asked_for import attacks_of, budgets_of
from saddlepoint.evaluation.at_work import Work
from saddlepoint.evaluation.extension import STARTS, earlier_steps, kinship, part_of
from saddlepoint.evaluation.journal import Journal
from saddlepoint.evaluation.limits import Limits
from saddlepoint.evaluation.notes import class_notes, space_notes
from saddlepoint.evaluation.once import once_names
from saddlepoint.evaluation.outputs import check_outputs
from saddlepoint.evaluation.piloted import check_diagnosis, check_pilots, is_of
from saddlepoint.evaluation.randomness import passes_for
from saddlepoint.evaluation.record import (
    ATTEMPTS_FILE,
    IMAGES_FILE,
    RECORD_FILE,
    Evaluation,
    is_finished,
)
from saddlepoint.evaluation.steps import FOLDER, Steps
from saddlepoint.evaluation.suites import Suite
from saddlepoint.evaluation.turns import budget_of
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.evaluation.warm_start import WarmStart
from saddlepoint.evaluation.worst import WORST, WorstFiles, read_worst
from saddlepoint.model import Guard, connected, reading
from saddlepoint.progress import Progress
from saddlepoint.run_folders import claimed, extension_folder, supersede
from saddlepoint.threat import Normed, ThreatModel, norm_ball, unlimited
from saddlepoint.zoo import weights_fingerprint

_EVERYDAY, _ALL_THE_TIME = Diagnosis(), Limits()
EVALUATION_FILES = (RECORD_FILE, IMAGES_FILE, ATTEMPTS_FILE, FOLDER, STARTS, WORST)
"""What an evaluation writes besides `run.json`."""


def evaluate(
    model: nn.Module,
    data: DataLike,
    threat: ThreatModel | str,
    *,
    eps: float | str | Sequence[float | str] | None = None,
    suite: str | Suite = "fast",
    out: Path | str | None = None,
    unfinished: Path | str | None = None,
    batch_size: int = 128,
    seed: int = 0,
    eot_samples: int | None = None,
    criterion: Criterion | None = None,
    output: str | int | None = None,
    identity: Any = None,
    progress: Progress | None = None,
    diagnosis: Diagnosis | None = _EVERYDAY,
    limits: Limits = _ALL_THE_TIME,
    warm_start: WarmStart | None = None,
) -> Evaluation:
    """Return the clean and robust accuracy of `model` on `data`, image by image.

    Args:
        model: from images in [0, 1] to logits, on the device where it is to run.
        data: the images, in any form that `as_data` takes; an image's index is its identity, so
            that results do not depend on batching.
        threat: the norm, and the budget where `eps` is not given; or a norm's name.
        eps: a budget or several, in the units of `threat.space`, "8/255" too; they are run in
            ascending order.
        suite: a name of `SUITES`, a suite's YAML file, or attacks by name in the order of their cost.
        out: a folder for the record; an interrupted evaluation goes on there, a finished one is
            read, and of one with fewer budgets what is the same is not computed again.
        unfinished: a folder for what is done so far, of a caller who keeps the result and removes
            this himself; None is `out`.
        batch_size: images per pass.
        seed: of every random draw.
        eot_samples: passes averaged at each step; None is the attacks' own where one exceeds 1,
            else 10 for a random model, else 1.
        criterion: what counts as fooled, for every attack of the suite; None is the attacks' own,
            which must agree.
        output: which of several outputs of the model are the logits; see `ReadOutput`.
        identity: what else distinguishes the run, for the folder.
        progress: is told of the images and steps that are done, and of what each attack has added
            when it ends; see `saddlepoint.progress.Tick`.
        diagnosis: how the model is examined; None gives no verdict, for whoever shows none.
        limits: of the time, and of the images by a question; what is left then is in `left`, and the
            same call goes on.
        warm_start: images of another evaluation from which the attacks start.

    Raises `InputError` for what cannot be evaluated, `OutputError` where the disk refuses.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> record = evaluate(net, data, "Linf", eps=[0.01, 0.1], suite="quick")
    >>> record.budgets[1].robust_accuracy.value <= record.budgets[0].robust_accuracy.value
    True
    """
    deadline = limits.deadline()
    Guard(model, 0)  # refuses what is no module
    model = reading(model, output)
    out = None if out is None else Path(out)
    if not isinstance(suite, str | Mapping):
        raise InputError("a suite is a name or a mapping from names to attacks")
    check_count("batch_size", batch_size)
    check_seed(seed)
    if eot_samples is not None:
        check_count("eot_samples", eot_samples)
    threats = budgets_of(norm_ball(threat) if isinstance(threat, str) else threat, eps)
    if isinstance(suite, str) and unlimited(threats[0]):
        raise InputError(f"the budget of {threats[0]} is not given; give eps, for instance 8/255")
    limits.check(len(threats))
    attacks = attacks_of(suite, threats[0])
    criteria = [a.criterion if criterion is None else criterion for a in attacks.values()]
    if any(each != criteria[0] for each in criteria):
        raise InputError(f"the attacks disagree on what is fooled: {criteria}; give one criterion")
    data = as_data(data)
    if not len(data):
        raise InputError(f"{data.name} has no images; evaluate at least one")
    own = max(attack.eot_samples for attack in attacks.values())
    if eot_samples is None and own > 1:
        eot_samples = own
    of_classes = class_notes(data.labels, data.classes, data.name)
    check_pilots(attacks, data)
    if diagnosis is not None:
        check_diagnosis(diagnosis, model, data)
    looked_at = _EVERYDAY.images if diagnosis is None else diagnosis.images
    told = check_outputs(model, data, criteria[0])
    passes = passes_for(model, data, eot_samples)
    about = {
        "model": weights_fingerprint(model),
        "identity": identity,
        "data": data_identity(data),
        **({} if warm_start is None else {"warm_start": warm_start.checked(data)}),
    }

    def prepared(threat: ThreatModel) -> Suite:
        return {
            name: passes.prepared(attack, criteria[0])
            for name, attack in attacks_of(suite, threat).items()
        }

    def config_of(threats: Sequence[ThreatModel]) -> dict[str, Any]:
        return {
            **about,
            # One budget by its words, "Linf 8/255" or "Box"; of several the first, and all as eps.
            # The records that exist have it so.
            "threat": str(threats[0]) if len(threats) == 1 else threats[0],
            "space": threats[0].space,
            "eps": [budget_of(each) for each in threats],
            "attacks": prepared(threats[0]),
            "seed": seed,
        }

    def finished() -> bool:
        return out is not None and is_finished(out)

    def holds(record: Evaluation) -> bool:
        """Whether the attacks would be given now the pilot that they were given then."""
        attacked = any(budget_of(each) != 0 for each in threats)
        now = min(looked_at, record.clean.count) if attacked else 0
        return is_of(record.pilot, attacks, now)

    attacks, config = prepared(threats[0]), config_of(threats)
    notes = (*told, *passes.notes, *of_classes, *space_notes(threats[0].space))
    work = Work(
        model=model, data=data, threats=threats, attacks=attacks, criterion=criteria[0], seed=seed,
        passes=passes, batch_size=batch_size, config=config, notes=notes, progress=progress,
        diagnosis=diagnosis, looked_at=_EVERYDAY, limits=limits, deadline=deadline,
        warm_start=warm_start,
    )  # fmt: skip
    once = len(once_names(attacks)) == len(attacks)
    kin = partial(kinship, threats=threats, config_of=config_of, once=once)
    # Who is not examined is told by an error that there is no gradient.
    whole = contextlib.nullcontext() if diagnosis is None else connected(model)
    with whole, claimed(out, "evaluate", config, EVALUATION_FILES, finished, kin) as found:
        before = Evaluation.load(out) if out is not None and finished() else None
        if before is not None and not holds(before):
            before = None  # what other pilots led to is computed anew
        if before is not None and found == "finished":
            return work.answered(work.examined_again(before, out))
        if before is not None and found == "part" and not once:
            part = part_of(before, config, len(threats), notes)
            return work.answered(work.examined_again(work.noted(part)))
        place, earlier = out, {}
        if out is not None and found in ("extends", "part"):
            # The record before stays until this one is whole; other budgets have another place. A
            # part is counted anew, and not kept.
            place = extension_folder(out, config) if found == "extends" else None
            eps_now = [budget_of(threat) for threat in threats]
            if before is not None:
                earlier = earlier_steps(out, attacks, eps_now, data.shape, read=found == "part")
        starts = None
        if place is not None and isinstance(threats[0], Normed):
            starts = Journal(place / STARTS)
            starts.forget()  # of a run that was interrupted: they are written again
        worst = None
        if place is not None and (found != "extends" or read_worst(Path(out or place)) is not None):
            worst = WorstFiles(place / WORST)
        where = place if unfinished is None else Path(unfinished)
        with Steps(where, batch_size, earlier, remembers=deadline is not None) as steps:
            evaluation, examined = work.evaluated(steps, starts, worst)
            if evaluation.left:
                steps.keep()
        # What is whole holds whatever was asked of it on the way.
        kept = evaluation if evaluation.left else replace(evaluation, decision=None)
        if out is not None and place is not None and place != out:
            if not evaluation.left:
                supersede(out, "evaluate", config, partial(_with_images, kept, place))
        elif out is not None and place is not None:
            kept.save(out)
            if not evaluation.left:
                steps.forget()
        if examined is not None and not evaluation.left:
            folder = None if place is None else out
            with Steps(folder, batch_size) as examined.steps:
                kept = work.supplemented(kept, examined, folder)
    return kept if evaluation.left else work.answered(kept)


def _with_images(evaluation: Evaluation, place: Path, out: Path) -> None:
    evaluation.save(out)
    for name in (STARTS, WORST):
        if (place / name).exists():
            (place / name).replace(out / name)
