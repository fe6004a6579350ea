"""All that is measured of a generator's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.evaluation.generative.coverage import ClassHistogram, class_histogram
from saddlepoint.evaluation.generative.neighbours import Neighbours, nearest
from saddlepoint.evaluation.generative.parzen import Parzen, parzen_log_likelihood

LEAST = 0.03
"""A class with a smaller share of the samples is one that the generator leaves out."""


@dataclass(frozen=True, eq=False)
class SampleMeasures:
    """What is known of samples.

    Attributes:
        samples: the images.
        parzen: the log-likelihood of test images.
        nearest: the training image nearest to each of the first samples.
        reference: the same of test images, which nobody recites.
        histogram: the classes of the samples, where a classifier was given.
        classes: their names.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=40)
    >>> measure_samples(data.pixels, data, data).recites  # no nearer than the test images, all at 0
    False
    """

    samples: Float[Tensor, "n c h w"]
    parzen: Parzen
    nearest: Neighbours
    reference: Neighbours
    histogram: ClassHistogram | None
    classes: tuple[str, ...]

    @property
    def recites(self) -> bool:
        """Whether samples lie nearer to training images than test images do, by the medians."""
        return self.nearest.median < self.reference.median

    def json(self) -> dict[str, Any]:
        """Return the numbers."""
        found: dict[str, Any] = {
            "samples": len(self.samples),
            "parzen": {
                "log_likelihood": self.parzen.mean,
                "standard_error": self.parzen.error,
                "sigma": self.parzen.sigma,
                "validation": {f"{sigma:g}": value for sigma, value in self.parzen.tried.items()},
                "test_images": self.parzen.test,
            },
            "nearest": {
                "images": len(self.nearest.ids),
                "median_distance": self.nearest.median,
                "of_test_images": self.reference.median,
                "recites": self.recites,
            },
        }
        if self.histogram is not None:
            missing = self.histogram.missing(LEAST)
            found["classes"] = dict(zip(self.classes, self.histogram.counts, strict=True))
            found["missing"] = [self.classes[i] for i in missing]
        return found


def measure_samples(
    samples: Float[Tensor, "n c h w"],
    train: ImageData,
    test: ImageData,
    *,
    classifier: nn.Module | None = None,
    compared: int = 1000,
) -> SampleMeasures:
    """Return what is known of samples.

    Args:
        samples: of a generator.
        train: what it was trained on.
        test: images that it never saw; σ is chosen by the first half of them, at most 1,000, and the
            log-likelihood is of the others.
        classifier: of the data's classes.
        compared: samples, and test images, whose nearest training image is looked for, at most.

    >>> from saddlepoint.data import load_data
    >>> train, test = (load_data("digits", split=each, limit=60) for each in ("train", "test"))
    >>> found = measure_samples(train.pixels[:20], train, test)
    >>> found.recites, found.nearest.median
    (True, 0.0)
    """
    half = len(test) // 2
    validation = test.images(torch.arange(min(half, 1000))).cpu()
    judged = test.images(torch.arange(half, len(test))).cpu()
    held = test.images(torch.arange(min(len(test), compared))).cpu()
    return SampleMeasures(
        samples,
        parzen_log_likelihood(samples, validation, judged),
        nearest(samples[:compared], train),
        nearest(held, train),
        None if classifier is None else class_histogram(classifier, samples),
        train.classes,
    )
