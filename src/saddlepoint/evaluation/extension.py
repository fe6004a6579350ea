"""Budgets added to a finished evaluation, or left out of one: what of its record still holds.

At a budget, survivors start from what the last attack of the budget below kept of them. So what was
found at a budget holds as long as all smaller budgets are the same. What survives the last attack at
the largest budget is kept beside the record, so that a larger one goes on from there. For one in
between, the last attack is run again at the budgets below, since its images were not kept. What a
minimum-norm attack found holds for every budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from saddlepoint.configuration import configuration, differences
from saddlepoint.errors import InputError
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS
from saddlepoint.evaluation.clean_images import CLEAN
from saddlepoint.evaluation.journal import Columns, Journal
from saddlepoint.evaluation.once import of_once, once_names
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.suites import Suite
from saddlepoint.evaluation.turns import EVERY, budget_of, step_name
from saddlepoint.evaluation.worst import WorstImages, read_worst
from saddlepoint.run_folders import LATER, Kin
from saddlepoint.threat import Normed, ThreatModel

STARTS = "starts"
"""The folder of what survives at the largest budget, from which a larger one would start, and of all
that minimum-norm attacks found."""
_ATTEMPT = (
    "success", "distance", "prediction", "rejected", "tied", "forwards", "backwards",
)  # fmt: skip


def kinship(
    before: Mapping[str, Any],
    threats: Sequence[ThreatModel],
    config_of: Callable[[Sequence[ThreatModel]], Any],
    once: bool = False,
) -> Kin | None:
    """Return how an evaluation of `threats` is related to the one that `before` describes: it is a
    "part" of it, with its smallest budgets alone; it "extends" it, with more; or None.

    Args:
        config_of: the configuration of an evaluation by its threat models.
        once: every attack is run once for all budgets, so that any of them are a part.

    >>> from saddlepoint.threat import Linf
    >>> def config_of(threats):
    ...     return {"eps": [each.eps for each in threats]}
    >>> kinship({"eps": [0.1]}, [Linf(0.1), Linf(0.2)], config_of)
    'extends'
    >>> kinship({"eps": [0.1, 0.2]}, [Linf(0.2)], config_of)  # its starts would be others
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the folder holds eps 0.1, 0.2, and what survived each budget was ...
    """
    first, eps, now = threats[0], before.get("eps"), [budget_of(each) for each in threats]
    if not isinstance(first, Normed) or not isinstance(eps, list):
        return None
    if not all(isinstance(each, int | float) for each in eps):
        return None
    try:
        then = configuration(config_of([first.with_eps(each) for each in eps]))
        same = not differences(before, then, later=LATER)
    except InputError:  # somebody's file
        return None
    if same and (set(now) <= set(eps) if once else eps[: len(now)] == now):
        return "part"
    if same and set(now) < set(eps):
        raise InputError(
            f"the folder holds eps {', '.join(f'{each:.4g}' for each in eps)}, and what survived each budget"
            " was attacked on from the one below: it can be read at its smallest budgets alone;"
            " choose another folder"
        )
    return "extends" if same and set(eps) <= set(now) else None


def part_of(record: Evaluation, config: Any, budgets: int, notes: tuple[str, ...]) -> Evaluation:
    """Return what an evaluation of the `budgets` smallest budgets alone would have recorded, with
    `notes` alone and without a verdict, which is of the whole as the seconds are.
    """
    images = record.images.slice(0, budgets * record.clean.total)
    eps = record.attempts["eps"].to_numpy()
    known = [budget.eps for budget in record.budgets[:budgets]]
    return replace(
        record,
        config=configuration(config),
        budgets=record.budgets[:budgets],
        images=images,
        attempts=record.attempts.filter(pa.array(np.isin(eps, known) | np.isnan(eps))),
        notes=notes,
        verdict=None,
    )


def earlier_steps(
    out: Path, attacks: Suite, eps: Sequence[float], shape: tuple[int, ...], read: bool = False
) -> dict[str, list[Columns]]:
    """Return the steps of the finished evaluation in `out` that are steps of one at the budgets
    `eps` as well, by their names; none where it was computed by other numerics.

    Args:
        attacks: of both.
        shape: of an image.
        read: `eps` are budgets of the record, which is only read, whatever computed it.
    """
    once = once_names(attacks)
    names = [name for name in attacks if name not in once]
    journal = Journal(out / STARTS).found
    starts = [e for key, entries in journal.items() if key.isdigit() for e in entries]
    record = Evaluation.load(out)
    known = [budget.eps for budget in record.budgets]
    pairs = zip(known, eps, strict=False)
    levels = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(known), len(eps)))
    if not (levels or once) or not (read or _are_survivors(starts, record)):
        return {}
    found: dict[str, list[Columns]] = {}
    worst = None if read else read_worst(out)
    total = record.clean.total
    clean = record.images.slice(0, total)
    right = np.array(clean["fooled_by"].to_pylist(), dtype=object) != INITIALLY_WRONG
    columns = {
        "id": _column(clean, "id"),
        "prediction": _column(clean, "clean_prediction"),
        "right": right.astype(bool),
        "tied": _column(clean, "clean_tied"),
        "seconds": np.full(total, record.seconds / total),
    }
    found[CLEAN] = [{name: torch.from_numpy(value.copy()) for name, value in columns.items()}]
    attempts = record.attempts
    budgets, attack = attempts["eps"].to_numpy(), np.array(attempts["attack"].to_pylist(), object)
    for name in once:
        here = np.flatnonzero(np.isnan(budgets) & (attack == name))
        if len(here):
            rows = _attempt(attempts, here)
            if worst is not None:
                rows["found"] = _images(journal.get(of_once(name), []), rows["id"], shape)
            found[step_name(EVERY, name)] = [rows]
    for level in range(levels):
        for name in names:
            here = np.flatnonzero((budgets == known[level]) & (attack == name))
            last = name == names[-1]
            if not len(here) or (last and levels < len(known)):
                continue  # a budget comes in between, and its starts were not kept
            rows = _attempt(attempts, here)
            # Only what comes after the largest budget starts from what the last attack left.
            kept = starts if last and level + 1 == levels else []
            if worst is not None:
                kept = [_kept(worst, known[level]), *kept]
            if last or worst is not None:
                rows["found"] = _images(kept, rows["id"], shape)
            found[step_name(level, name)] = [rows]
    return found


def _kept(worst: WorstImages, eps: float) -> Columns:
    held = worst.at(eps)
    return {"id": held.ids, "found": held.images}


def _attempt(attempts: pa.Table, where: Any) -> Columns:
    rows = attempts.take(pa.array(where))
    columns = {name: torch.from_numpy(_column(rows, name)) for name in ("id", *_ATTEMPT)}
    columns["predictions"] = columns.pop("prediction")
    seconds = torch.zeros(len(columns["id"]), dtype=torch.float64)
    return {**columns, "seconds": seconds}


def _are_survivors(starts: Sequence[Columns], record: Evaluation) -> bool:
    """Return whether what was kept is what survives the record's largest budget."""
    if not starts:  # other numerics, or an earlier version
        return False
    total = record.clean.total
    last = record.images.slice((len(record.budgets) - 1) * total, total)
    stand = np.array(last["fooled_by"].to_pylist(), dtype=object) == STANDS
    kept = torch.cat([each["id"] for each in starts]).sort().values
    return bool(np.array_equal(kept.numpy(), _column(last, "id")[stand]))


def _images(kept: Sequence[Columns], ids: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the images `kept` of those among `ids`, the later ones first; zeros for the others."""
    images = torch.zeros(len(ids), *shape)
    for each in kept:
        mine = torch.isin(each["id"], ids)
        if bool(mine.any()):
            images = images.to(each["found"].dtype)
            images[torch.searchsorted(ids, each["id"][mine])] = each["found"][mine]
    return images


def _column(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy().copy()
