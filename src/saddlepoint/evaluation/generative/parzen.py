"""The log-likelihood of test images under a Parzen window of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError

SIGMAS: tuple[float, ...] = tuple(round(10 ** (-1.5 + i / 8), 4) for i in range(13))
"""Widths that are tried, from 0.03 to 1 of the range of a pixel."""
_QUERIES, _CENTRES = 256, 2048  # of a block of distances: 4 MiB


@dataclass(frozen=True)
class Parzen:
    """A log-likelihood in nats for an image, and what it was chosen by.

    Attributes:
        sigma: the width that the validation images like best.
        mean, error: of log p over the test images: its standard error.
        tried: σ → the mean over the validation images.
        samples, test: how many.

    >>> print(Parzen(0.2, 225.04, 2.0, {0.2: 224.0}, samples=10000, test=5000))
    225.0 ± 2.0 nats (σ = 0.2, 10,000 samples, 5,000 test images)
    """

    sigma: float
    mean: float
    error: float
    tried: dict[float, float]
    samples: int
    test: int

    @property
    def at_end(self) -> bool:
        """Whether σ is the least or the greatest that was tried: a better one may lie beyond."""
        return self.sigma in (min(self.tried), max(self.tried))

    def __str__(self) -> str:
        return (
            f"{self.mean:.1f} ± {self.error:.1f} nats (σ = {self.sigma:g}, {self.samples:,} samples,"
            f" {self.test:,} test images)"
        )


def parzen_log_likelihood(
    samples: Float[Tensor, "n ..."],
    validation: Float[Tensor, "v ..."],
    test: Float[Tensor, "t ..."],
    sigmas: Sequence[float] = SIGMAS,
) -> Parzen:
    """Return the mean log-likelihood of test images in nats, with σ chosen by validation images.

    Raises `InputError` for fewer than two test images, none of another kind, or other shapes.
    Reference: Goodfellow et al. 2014, arXiv:1406.2661, section 5. The estimate is crude in many
    dimensions (Theis, van den Oord and Bethge 2016, arXiv:1511.01844): it compares a generator with
    itself at another time rather than with others.

    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(3000, 1)  # the entropy of N(0, 1) is 1.419
    >>> found = parzen_log_likelihood(x[:1000], x[1000:2000], x[2000:], sigmas=(0.1, 0.3, 1.0))
    >>> found.sigma, round(found.mean, 1)
    (0.3, -1.4)
    """
    shapes = {tuple(each.shape[1:]) for each in (samples, validation, test)}
    if len(shapes) > 1 or min(len(samples), len(validation)) < 1 or len(test) < 2:
        seen = ", ".join(str(tuple(each.shape)) for each in (samples, validation, test))
        raise InputError(
            f"samples, validation and test images are {seen}; give all of one shape, and two test"
            " images or more"
        )
    if not sigmas or min(sigmas) <= 0 or not math.isfinite(max(sigmas)):
        raise InputError(f"sigmas is {tuple(sigmas)}; give positive numbers")
    scores = log_densities(validation, samples, sigmas).mean(1).tolist()
    tried = dict(zip(sigmas, scores, strict=True))
    sigma = max(tried, key=lambda each: tried[each])
    found = log_densities(test, samples, (sigma,))[0]
    error = float(found.std()) / math.sqrt(len(found))
    return Parzen(sigma, float(found.mean()), error, tried, len(samples), len(test))


def log_densities(
    queries: Float[Tensor, "q ..."], centres: Float[Tensor, "n ..."], sigmas: Sequence[float]
) -> Float[Tensor, "s q"]:
    """Return log p of each query for each σ, p = 1/n Σᵢ N(query; centreᵢ, σ²·1), in float64.

    Distances are computed in blocks, so that memory does not grow with the number of pairs.

    >>> round(float(log_densities(torch.zeros(1, 1), torch.zeros(1, 1), (1.0,))), 4)
    -0.9189
    """
    flat, centred = queries.flatten(1).double(), centres.flatten(1).double()
    middle = centred.mean(0)  # ‖a‖² + ‖b‖² − 2ab loses least where the numbers are small
    flat, centred = flat - middle, centred - middle
    lengths = centred.square().sum(1)
    total = torch.full((len(sigmas), len(flat)), -math.inf, dtype=torch.float64)
    for i in range(0, len(flat), _QUERIES):
        block = flat[i : i + _QUERIES]
        own = block.square().sum(1, keepdim=True)
        for j in range(0, len(centred), _CENTRES):
            near = centred[j : j + _CENTRES]
            squares = (own + lengths[j : j + _CENTRES] - 2 * block @ near.T).clamp(min=0)
            for s, sigma in enumerate(sigmas):
                here = (squares / (-2 * sigma**2)).logsumexp(1)
                total[s, i : i + _QUERIES] = torch.logaddexp(total[s, i : i + _QUERIES], here)
    widths = torch.tensor(sigmas, dtype=torch.float64)
    d = flat.shape[1]
    return total - math.log(len(centred)) - d / 2 * (2 * math.pi * widths**2).log()[:, None]
