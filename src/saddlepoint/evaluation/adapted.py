"""An evaluation goes on with the remedies of its verdict, and says which of them lowered the number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks import Stages
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.remedies import TRANSFER, Remedy, remedies
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.steps import Steps
from saddlepoint.evaluation.survivors import Survivors
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.evaluation.turns import budget_of
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.evaluation.verdict.finding import Supplement, Verdict
from saddlepoint.model.masking import hidden_gradients
from saddlepoint.tables import Table
from saddlepoint.threat import ThreatModel

NAME = "adaptive"
_LOOKED_AT = 4  # images, for modules that hide the gradient


@dataclass(frozen=True)
class Fall:
    """What one remedy did at one budget.

    >>> Fall(0.1, "restarts", 9, 3).fooled
    3
    """

    eps: float
    remedy: str
    attacked: int
    fooled: int


def adapted(
    run: Survivors,
    steps: Steps,
    verdict: Verdict,
    diagnosis: Diagnosis,
    standing: Mapping[ThreatModel, Int64[Tensor, " s"]],
    searched: bool,
) -> Supplement:
    """Return the robust accuracy with the remedies of what the checks found, beside the one without.

    Args:
        run: the evaluation; its model, data, seed and passes.
        steps: where what is done is kept.
        verdict: whose findings say what is tried.
        diagnosis: which modules and which surrogate are used.
        standing: budget → ids of its survivors, budgets ascending.
        searched: the evaluation has run AutoAttack's four already.
    """
    names = [each.check for each in verdict.flagged]
    falls: list[Fall] = []
    fallen = torch.zeros(len(run.data), dtype=torch.bool)
    numbers: list[dict[str, Any]] = []
    hidden = diagnosis.bpda or (_hidden(run) if names else ())
    for threat, ids in standing.items():
        left = ids[~fallen[ids]]
        tried = remedies(
            names, threat, run.model, hidden, diagnosis.surrogate, searched, bool(diagnosis.bpda)
        )
        for remedy in tried:
            if not len(left):
                break
            which = f" {diagnosis.surrogate_print}" if remedy.name == TRANSFER else ""
            name = f"{NAME} {remedy.name}{which}, {threat}"
            rows = steps.run(name, left, partial(_tried, run, remedy))
            hit = rows["id"][rows["success"]]
            falls.append(Fall(budget_of(threat), remedy.name, len(left), len(hit)))
            fallen[hit] = True
            left = left[~fallen[left]]
        numbers.append(
            {
                "eps": budget_of(threat),
                "robust_accuracy_before": Proportion(len(ids), len(run.data)).json(),
                "robust_accuracy": Proportion(len(left), len(run.data)).json(),
                "fallen": ids[fallen[ids]].tolist(),
            }
        )
    remedied = [vars(each) for each in falls]
    told = {"asked": asked(diagnosis), "budgets": numbers, "remedies": remedied}
    return Supplement(NAME, _table(numbers, falls, len(run.data)), told)


def asked(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what a diagnosis says of the remedies, as JSON values.

    >>> asked(Diagnosis(bpda=("0",)))
    {'bpda': ['0'], 'surrogate': ''}
    """
    return {"bpda": list(diagnosis.bpda), "surrogate": diagnosis.surrogate_print}


def _hidden(run: Survivors) -> tuple[str, ...]:
    few = torch.arange(min(_LOOKED_AT, len(run.data)))
    return hidden_gradients(run.model, run.images(few), seed=run.seed)


def _tried(run: Survivors, remedy: Remedy, batch: Tensor, stages: Stages | None) -> Columns:
    passes = run.passes
    samples = max(remedy.samples if passes.random else 1, passes.samples)
    attack = replace(passes, samples=samples).prepared(remedy.attack, run.criterion)
    images, labels = run.images(batch), run.data.labels[batch]
    call = partial(attack, seed=run.seed, ids=batch, random=passes.random, stages=stages)
    result = call(run.model, images, labels)
    success = result.success & ~result.initially_wrong
    return {"success": success, "forwards": result.forwards, "backwards": result.backwards}


def _table(numbers: Sequence[Mapping[str, Any]], falls: Sequence[Fall], total: int) -> Table:
    rows = []
    for each in numbers:
        helped = [f for f in falls if f.eps == each["eps"] and f.fooled]
        before, after = (
            Proportion(each[name]["count"], total)
            for name in ("robust_accuracy_before", "robust_accuracy")
        )
        by = ", ".join(f"{f.remedy} {f.fooled:,}" for f in helped) or "nothing"
        rows.append((budget_text(each["eps"]), str(before), str(after), by))
    columns = ("eps", "robust accuracy", "with remedies", "lowered by")
    tried = list(dict.fromkeys(each.remedy for each in falls))
    note = f"tried: {', '.join(tried)}" if tried else "nothing was found that has a remedy"
    return Table("remedies", columns, rows, (note,))
