"""Masked autoencoding under attack: visible patches are changed so that the hidden ones are missed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.mae import MAE, Reconstructing
from saddlepoint.objectives.passes import evaluating
from saddlepoint.option_values import Count, Share
from saddlepoint.progress import passed
from saddlepoint.threat import Ascendable, ThreatModel
from saddlepoint.threat.norms import expand
from saddlepoint.zoo import MaskedAutoencoder, patchify, reconstruction_losses, unpatchify


@dataclass(frozen=True)
class AdversarialMAE(MAE):
    """MAE whose visible patches are changed within a threat model so that the loss is largest; the
    targets are those of the clean images.

    Args:
        threat: what may be done to an image.
        steps: of the ascent, from a random start.
        relative_step: length of a step, in budgets.

    Raises `InputError` for a threat model without a steepest direction, and as `MAE`.

    >>> from saddlepoint.threat import Linf
    >>> AdversarialMAE(threat=Linf(8 / 255)).steps
    5
    """

    _: KW_ONLY
    threat: ThreatModel
    steps: Count = 5
    relative_step: Share = 0.5

    paper = "after He et al. 2022, arXiv:2111.06377, and Madry et al. 2018, arXiv:1706.06083"
    cost = "as mae, and `steps` input passes more"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.threat, Ascendable):
            raise InputError(
                "adversarial-mae needs a threat model with a steepest direction, for instance"
                f" Linf(8/255); it got {self.threat!r:.60}"
            )

    def begin(self, model: nn.Module, data: ImageData | None) -> Reconstructing:
        """Return what runs, with a decoder made for the model."""
        return UnderAttack(self, model)


class UnderAttack(Reconstructing):
    """A masked autoencoder in adversarial training.

    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import ViT
    >>> run = AdversarialMAE(threat=Linf(0.1)).begin(ViT(channels=1, size=28), None)
    >>> type(run).__name__
    'UnderAttack'
    """

    objective: AdversarialMAE

    def _shown(
        self, mae: MaskedAutoencoder, batch: TrainingBatch, mask: Bool[Tensor, "n l"]
    ) -> Float[Tensor, "n c h w"]:
        """Return w ← Π(w + α·d), `steps` times from a random start, d the steepest direction of the
        gradient of the loss; hidden patches have no gradient, and stay as they are.
        """
        threat, x = self.objective.threat, batch.images
        assert isinstance(threat, Ascendable)
        targets, alpha = mae.targets(x), self.objective.relative_step * threat.radius(x)
        # The budget is spent on what is visible alone.
        everywhere = torch.ones_like(x, dtype=torch.bool)
        free = _visible(mae, ~everywhere, everywhere, mask)
        w = threat.random_start(x, batch.keys, free=free)
        with evaluating(mae):
            for _ in range(self.objective.steps):
                w = w.detach().requires_grad_()
                shown = _visible(mae, x, threat.render(x, w), mask)
                with batch.autocast():
                    predicted = mae(shown, mask).float()
                passed(len(x))
                loss = reconstruction_losses(predicted, targets, mask).sum()
                (gradient,) = torch.autograd.grad(loss, w)
                moved = w.detach() + expand(alpha, x) * threat.steepest_direction(gradient)
                w = threat.project(x, moved)
        return _visible(mae, x, threat.render(x, w.detach()), mask).detach()


def _visible(
    mae: MaskedAutoencoder, clean: Tensor, changed: Tensor, mask: Bool[Tensor, "n l"]
) -> Float[Tensor, "n c h w"]:
    """Return the changed images with the hidden patches of the clean ones."""
    patch = mae.encoder.design.patch
    both = (patchify(each, patch) for each in (clean, changed))
    hidden, seen = both
    return unpatchify(torch.where(mask[:, :, None], hidden, seen), patch, mae.decoder.grid)
