"""Is the model random at inference? Then it is attacked in expectation, and the record says so."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.checks import check_images
from saddlepoint.data import ImageData
from saddlepoint.model import Guard, full_precision, is_random

_EOT_SAMPLES = 10


def passes_for(
    model: nn.Module, data: ImageData, eot_samples: int | None
) -> tuple[int, tuple[str, ...]]:
    """Return the passes to average, and a note where the model is random at inference.

    >>> from saddlepoint.data import load_data
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> passes_for(net, load_data("digits"), None)
    (1, ())
    """
    declared = is_random(model)
    if not declared:
        images = data.images(torch.arange(min(4, len(data))))
        check_images(images)
        with Guard(model, len(images)) as guard, full_precision(guard.device):
            first, second = (guard.logits(images.to(guard.device)) for _ in range(2))
        # Some CUDA kernels add in varying order; that is rounding, not randomness.
        if torch.allclose(first, second, rtol=1e-4, atol=1e-4) or bool(first.isnan().any()):
            return eot_samples or 1, ()
    samples = eot_samples or _EOT_SAMPLES
    kind = "declares itself random" if declared else "is random at inference, undeclared"
    if samples == 1:
        return 1, (
            f"the model {kind} and was attacked without averaging: the accuracy is too high",
        )
    return samples, (f"the model {kind}; its expectation over {samples} passes was attacked",)
