"""Is the model random at inference? Then it is attacked in expectation, and the record says so."""

from __future__ import annotations

import math

import torch
from torch import nn

from saddlepoint.data import ImageData
from saddlepoint.model import Guard, full_precision, is_random
from saddlepoint.model.randomness import averaged_passes

_EOT_SAMPLES = 10


def passes_for(
    model: nn.Module, data: ImageData, eot_samples: int | None
) -> tuple[int, tuple[str, ...]]:
    """Return how many calls of the model to average, and a note where it is random at inference.

    By default they come to ten passes: a model whose call is itself an average of five
    (`averaged_passes`) is called twice.

    >>> from saddlepoint.data import load_data
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> passes_for(net, load_data("digits"), None)
    (1, ())
    """
    declared = is_random(model)
    if not declared:
        images = data.images(torch.arange(min(4, len(data))))
        with Guard(model, len(images)) as guard, full_precision(guard.device):
            first, second = (guard.logits(images.to(guard.device)) for _ in range(2))
        # Some CUDA kernels add in varying order; that is rounding, not randomness.
        if torch.allclose(first, second, rtol=1e-4, atol=1e-4) or bool(first.isnan().any()):
            return eot_samples or 1, ()
    own = averaged_passes(model)
    samples = eot_samples or math.ceil(_EOT_SAMPLES / own)
    kind = "declares itself random" if declared else "is random at inference, undeclared"
    if samples * own == 1:
        return 1, (
            f"the model {kind} and was attacked without averaging: the accuracy is too high",
        )
    calls = f", {samples} calls that average {own} each," if own > 1 else ""
    return samples, (
        f"the model {kind}; its expectation over {samples * own} passes{calls} was attacked",
    )
