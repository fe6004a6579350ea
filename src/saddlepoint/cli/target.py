"""`--target` of `saddlepoint train`: the network that a perturber learns to fool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from saddlepoint.cli.model import read_given
from saddlepoint.cli.options import Subject
from saddlepoint.cli.prepare import Prepared, build_surrogate
from saddlepoint.errors import InputError
from saddlepoint.reading import shown

if TYPE_CHECKING:
    from saddlepoint.defences import Recipe


def with_target(
    plan: Recipe, subject: Subject, weights: Path | None, model: str | None, prepared: Prepared
) -> Recipe:
    """Return the recipe with its game aimed at the target; the recipe itself without one.

    Args:
        weights: of the target; a folder says its architecture, too.
        model: its architecture.

    Raises `InputError` for a target that the objective has no use for, or whose architecture nobody
    says.
    """
    from saddlepoint.objectives import AdvGANGame

    if weights is None:
        if model is not None:
            raise InputError("--target-model needs its weights; give --target")
        return plan
    if not isinstance(plan.objective, AdvGANGame):
        name = type(plan.objective).__name__
        raise InputError(f"{name} fools no target; leave --target out, or take --objective advgan")
    said = model or read_given(weights).trained.get("model")
    if not isinstance(said, str):
        raise InputError(f"{shown(weights)} does not say its architecture; give --target-model")
    target = build_surrogate(subject, said, weights, prepared)
    return replace(plan, objective=plan.objective.against(target))
