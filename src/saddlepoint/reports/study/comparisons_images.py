"""McNemar's test of every variant against the reference, on the images of each seed and budget."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc

from saddlepoint.evaluation.comparison import holm
from saddlepoint.evaluation.mcnemar import mcnemar_test
from saddlepoint.reports.study.cells import chosen_attack
from saddlepoint.studies.results import StudyResults


@dataclass(frozen=True)
class ImageComparison:
    """Two models of one seed on the same attacked images.

    Attributes:
        variant, seed, eps: which model, against the reference's of the same seed.
        images: those that both were evaluated on.
        better: images on which this model alone is right after the attack.
        worse: images on which the reference alone is.
        p: of McNemar's exact test, two-sided.
        adjusted: by Holm's correction over all tests of the study under this attack.

    >>> ImageComparison("a", 0, 0.1, 100, 20, 2, 0.0001, 0.004).direction
    'better'
    """

    variant: str
    seed: int
    eps: float
    images: int
    better: int
    worse: int
    p: float
    adjusted: float

    @property
    def direction(self) -> str:
        """ "better" or "worse" where the difference is significant at 5 %, else ""."""
        if self.adjusted >= 0.05:
            return ""
        return "better" if self.better > self.worse else "worse"


def image_comparisons(results: StudyResults, attack: str | None = None) -> list[ImageComparison]:
    """Return McNemar's test of every variant, seed and eps that the reference has too.

    The tests are not pooled over seeds or budgets: the same images come back in each, and a pooled
    table would count them as new.

    Args:
        results: of the study, finished or not.
        attack: its name; None for the study's first.

    >>> results = StudyResults("s", "S", {}, ("original", "a"), "original", (0,), (0.1,), ("pgd",), "Linf")
    >>> image_comparisons(results)
    []
    """
    right = _right_after(results, chosen_attack(results, attack))
    found = []
    for variant in results.variants:
        for seed, eps in sorted(key[1:] for key in right if key[0] == variant):
            base = right.get((results.reference, seed, eps))
            if variant == results.reference or base is None:
                continue
            here = right[variant, seed, eps]
            ids, a, b = np.intersect1d(here[0], base[0], return_indices=True)
            if len(ids):
                test = mcnemar_test(here[1][a], base[1][b])
                found.append((variant, seed, eps, len(ids), *test))
    adjusted = holm([each[-1] for each in found])
    return [
        ImageComparison(*each, 1.0 if p is None else p)
        for each, p in zip(found, adjusted, strict=True)
    ]


def _right_after(
    results: StudyResults, attack: str
) -> dict[tuple[str, int, float], tuple[Any, Any]]:
    """Return the ids of every evaluation, and whether each image is right after the attack."""
    table = results.images.filter(pc.equal(results.images["attack"], attack))
    if not table.num_rows:
        return {}
    variants = table["variant"].dictionary_encode().unify_dictionaries().combine_chunks()
    names, codes = variants.dictionary.to_pylist(), variants.indices.to_numpy()
    seeds, eps = table["seed"].to_numpy(), table["eps"].to_numpy()
    ids, right = table["id"].to_numpy(), ~pc.fill_null(table["success"], True).to_numpy()
    order = np.lexsort((eps, seeds, codes))
    codes, seeds, eps, ids, right = (each[order] for each in (codes, seeds, eps, ids, right))
    new = (np.diff(codes) != 0) | (np.diff(seeds) != 0) | (np.diff(eps) != 0)
    edges = [0, *(np.flatnonzero(new) + 1).tolist(), len(codes)]
    return {
        (names[codes[i]], int(seeds[i]), float(eps[i])): (ids[i:j], right[i:j])
        for i, j in pairwise(edges)
    }
