"""How near an attack comes to the smallest distances that anyone has found."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError


def smallest_distances(distances: Mapping[str, Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
    """Return the smallest distance of each sample over all attacks, in float64.

    Args:
        distances: by attack; 0 where the sample is misclassified anyway, infinity where the attack
            failed.

    >>> smallest_distances({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 1.5])})
    tensor([1.0000, 1.5000], dtype=torch.float64)
    """
    if not distances:
        raise InputError("there are no distances to compare; give those of one attack at least")
    shapes = {name: tuple(each.shape) for name, each in distances.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"the attacks have differing numbers of samples: {shapes}")
    if any(bool((each.isnan() | (each < 0)).any()) for each in distances.values()):
        raise InputError("a distance is negative or not a number; give infinity for a failure")
    return torch.stack([each.double() for each in distances.values()]).amin(0)


def local_optimality(found: Float[Tensor, " n"], smallest: Float[Tensor, " n"]) -> float:
    """Return the local optimality of an attack: 1 where no attack found smaller distances.

    With ε₀ the largest of the smallest distances d*, ρ the share of samples with d* > 0, and d the
    attack's distances: (ρ·ε₀ − mean min(d, ε₀)) / (ρ·ε₀ − mean d*). It is the area under the
    attack's curve of robust accuracy against ε that is not left, relative to the best curve.

    Args:
        found: the attack's distances; infinity where it failed.
        smallest: the smallest distances known, `smallest_distances` of all attacks.

    Raises `InputError` where there is nothing to tell attacks apart by. A sample that no attack
    fools has no smallest distance and is left out.

    Reference: Cinà, Rony, Pintor, Demetrio, Demontis, Biggio, Ben Ayed and Roli 2025,
    arXiv:2404.19460.

    >>> best = torch.tensor([0.0, 1.0, 2.0])
    >>> local_optimality(best, best), local_optimality(torch.tensor([0.0, 1.0, float("inf")]), best)
    (1.0, 1.0)
    >>> round(local_optimality(torch.tensor([0.0, 1.5, 2.0]), best), 9)
    0.5
    """
    if found.shape != smallest.shape:
        raise InputError(f"{len(found)} distances were found and {len(smallest)} are the smallest")
    known = smallest.isfinite()
    d, best = found[known].double(), smallest[known].double()
    farthest = best.max() if len(best) else torch.zeros(())
    left = (best > 0).double().mean() * farthest - best.mean() if len(best) else farthest
    if not float(left) > 0:
        raise InputError("all smallest distances are equal or 0: they tell no attacks apart")
    gained = (best > 0).double().mean() * farthest - torch.minimum(d, farthest).mean()
    return float(gained / left)
