"""Compares models on the images that their evaluations share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from saddlepoint.errors import InputError
from saddlepoint.evaluation.cochran import cochran_test
from saddlepoint.evaluation.common_budgets import common_budgets
from saddlepoint.evaluation.comparability import check_comparable, remarks
from saddlepoint.evaluation.conditions import conditions
from saddlepoint.evaluation.evaluation_folders import read_evaluations
from saddlepoint.evaluation.left import attacks_left, left_note
from saddlepoint.evaluation.mcnemar import McNemar, mcnemar_test
from saddlepoint.evaluation.model_comparison import (
    BudgetComparison,
    ModelComparison,
    PairComparison,
)
from saddlepoint.evaluation.outcomes import outcomes
from saddlepoint.evaluation.power import (
    HardlyDifferError,
    check_power,
    images_to_tell,
    power_of_mcnemar,
)
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.reading import shown


def compare(
    evaluations: Mapping[str, Evaluation] | Sequence[Path | str],
    *,
    eps: float | str | Sequence[float | str] | None = None,
    power: float = 0.8,
) -> ModelComparison:
    """Return how two or more models compare on the same images, at every common budget.

    Two are compared by McNemar's exact test; of more, Cochran's test says whether all are right as
    often, and every two are compared with Holm's correction for the pairs within a budget. It speaks
    of these trained models on images like these; see `mcnemar_test`.

    Args:
        evaluations: by the model's name; or the folders of finished ones, which are then named by
            the shortest endings that tell them apart.
        eps: a budget or several that all were evaluated at; None is every common one.
        power: for which the number of images is told that it takes.

    Raises `InputError` for fewer than two, for what is no whole evaluation, and where images, threat
    model, criterion or all budgets differ.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import evaluate
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> records = {}
    >>> for name in ("simple-cnn", "maxout"):
    ...     net = build_model(name, classes=10, shape=data.shape)
    ...     records[name] = evaluate(net, data, "Linf", eps=[0.01, 0.1], suite="quick", diagnosis=None)
    >>> [each.name for each in compare(records, eps="0.1").all]
    ['clean', '0.1']
    """
    if isinstance(evaluations, str | Path):
        evaluations = [evaluations]
    if len(evaluations) < 2:
        raise InputError(f"a comparison needs two evaluations or more; given: {len(evaluations)}")
    check_power(power)
    folders: Sequence[Path | str] = ()
    if not isinstance(evaluations, Mapping):
        folders, evaluations = evaluations, read_evaluations(evaluations)
    for place, record in zip(folders or evaluations, evaluations.values(), strict=True):
        if attacks_left(record.left):
            raise InputError(
                f"{shown(place)} is not finished: {left_note(record.left, record.decision)}; the command"
                " that began it goes on, without a limit to its end"
            )
    told = {name: conditions(name, each) for name, each in evaluations.items()}
    check_comparable(told)
    found = {name: outcomes(name, each) for name, each in evaluations.items()}
    budgets = {name: [b.eps for b in each.budgets] for name, each in evaluations.items()}
    several = [eps] if isinstance(eps, str) or not isinstance(eps, Iterable) else [*eps]
    wanted = None if eps is None else [each for each in several if each is not None]
    common = common_budgets(budgets, wanted)
    one = next(iter(told.values()))
    notes = [f"{shown(name)}: {note}" for name, each in evaluations.items() for note in each.notes]
    return ModelComparison(
        data=one.data,
        threat=one.norm if one.space == "pixels" else f"{one.norm} ({one.space} space)",
        clean=_compared(None, {name: each.clean.tolist() for name, each in found.items()}, power),
        budgets=tuple(
            _compared(
                each,
                {name: found[name].resisted[level].tolist() for name, level in at.items()},
                power,
            )
            for each, at in common.items()
        ),
        asked=power,
        notes=(*verdicts_of(evaluations), *remarks(told, budgets, list(common)), *notes),
    )


def _compared(eps: float | None, right: Mapping[str, list[bool]], power: float) -> BudgetComparison:
    if len(right) == 2:
        (a, one), (b, other) = right.items()
        test = mcnemar_test(one, other)
        tests, corrected, cochran = {(a, b): test}, {(a, b): test.p}, None
    else:
        cochran = cochran_test(right)
        tests, corrected = dict(cochran.pairs), dict(cochran.corrected)
    images = len(next(iter(right.values())))
    return BudgetComparison(
        eps=eps,
        accuracy={name: Proportion(sum(each), images) for name, each in right.items()},
        cochran=cochran,
        pairs=tuple(
            PairComparison(*pair, test, corrected[pair], *_chances(test, images, power))
            for pair, test in tests.items()
        ),
    )


def _chances(test: McNemar, images: int, power: float) -> tuple[float | None, int | None]:
    """Return the power of as many images, and how many give the one asked for."""
    if test.b == test.c:
        return None, None
    only_a, only_b = test.b / images, test.c / images
    try:
        needed = images_to_tell(only_a, only_b, power=power)
    except HardlyDifferError:
        needed = None
    return power_of_mcnemar(images, only_a, only_b), needed


def verdicts_of(evaluations: Mapping[str, Evaluation]) -> tuple[str, ...]:
    """Return the verdict of each evaluation, in words.

    >>> verdicts_of({})
    ()
    """
    return tuple(
        f"{shown(name)}: {'' if each.verdict is None else 'verdict '}{each.told}"
        for name, each in evaluations.items()
    )
