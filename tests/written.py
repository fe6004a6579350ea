"""Records of evaluations that nobody ran: what every model gets right is written down."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from saddlepoint.evaluation import Budget, Evaluation, Proportion
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS

DATA = {"name": "digits", "split": "test"}


def written(clean, resisted, model="a", notes=(), **changes):
    """An evaluation of a model that is right where `clean` has a 1, and resists, by budget, where the
    strings of `resisted` have one.

    Args:
        changes: of the configuration.
    """
    total, right = len(clean), clean.count("1")
    rows = {"id": [], "eps": [], "fooled_by": []}
    budgets = []
    for eps, answers in resisted.items():
        stand = answers.count("1")
        rows["id"] += range(total)
        rows["eps"] += [eps] * total
        rows["fooled_by"] += [
            STANDS if stands == "1" else "fgsm" if before == "1" else INITIALLY_WRONG
            for before, stands in zip(clean, answers, strict=True)
        ]
        robust, success = Proportion(stand, total), Proportion(right - stand, right)
        budgets.append(Budget(eps, robust, success, 1.0, 1.0, {}, {}))
    eps = list(resisted)
    threat = {"type": "Linf", "eps": eps[0], "lower": 0.0, "upper": 1.0}
    attack = {"type": "FGSM", "threat": threat, "criterion": {"type": "Misclassified"}}
    config = {
        "model": model,
        "data": {**DATA, "images": total, "fingerprint": f"{total:016}"},
        "threat": f"Linf {eps[0]}" if len(eps) == 1 else threat,
        "space": "pixels",
        "eps": eps,
        "attacks": {"fgsm": attack},
        **changes,
    }
    images = pa.table({"id": np.array(rows["id"]), **{k: rows[k] for k in ("eps", "fooled_by")}})
    attempts = pa.table({"id": [0]})
    return Evaluation(
        config, Proportion(right, total), tuple(budgets), images, attempts, 1.0, notes
    )
