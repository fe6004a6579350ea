"""AttackResult: what the judge found, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.tables import Shown, Table


@dataclass(frozen=True, eq=False, repr=False)
class AttackResult(Shown):
    """The judged outcome of an attack on n images; prints as a table.

    Attributes:
        adversarials: (n, c, h, w), always inside the valid range and the budget; the clean image
            where the attack offered nothing valid.
        success: (n,) the image is fooled by the judge's own measurement. An initially wrong image
            counts as True.
        distance: (n,) float64, in the units of the threat model; for a minimum-norm attack infinity
            where it failed.
        predictions: (n,) the class of each returned image, torch's argmax; −1 (`NO_CLASS`) where the
            model returns NaN or +∞ for it.
        initially_wrong: (n,) the criterion held before the attack, or the model returned no answer;
            the image was left alone.
        rejected: (n,) what the loop offered left the ball or the range, or was not finite.
        tied: (n,) several classes share the largest logit there; the prediction is the lowest.
        forwards, backwards: (n,) passes spent on each sample, the clean check and the judge
            included.
        space: the units of the budget, "pixels" or "normalised".

    >>> result = AttackResult(
    ...     adversarials=torch.zeros(2, 1), success=torch.tensor([True, False]),
    ...     distance=torch.tensor([0.1, 0.2]), predictions=torch.tensor([1, 0]),
    ...     initially_wrong=torch.tensor([False, False]), rejected=torch.tensor([False, False]),
    ...     tied=torch.tensor([False, False]),
    ...     forwards=torch.tensor([3, 22]), backwards=torch.tensor([1, 20]), space="pixels")
    >>> result.success_rate, result.robust_accuracy
    (0.5, 0.5)
    """

    adversarials: Float[Tensor, "n ..."]
    success: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]
    predictions: Int64[Tensor, " n"]
    initially_wrong: Bool[Tensor, " n"]
    rejected: Bool[Tensor, " n"]
    tied: Bool[Tensor, " n"]
    forwards: Int64[Tensor, " n"]
    backwards: Int64[Tensor, " n"]
    space: str

    def __len__(self) -> int:
        return len(self.success)

    @property
    def success_rate(self) -> float:
        """The share of fooled images among those that were right before; NaN where there are
        none.
        """
        attacked = ~self.initially_wrong
        return float(self.success[attacked].float().mean())

    @property
    def robust_accuracy(self) -> float:
        """The share of all images that the model still classifies correctly."""
        return float((~self.success).float().mean())

    def tables(self) -> tuple[Table, ...]:
        """Return the table that the result prints as."""
        hits = self.success & ~self.initially_wrong
        columns = (
            "images",
            "wrong before",
            "fooled",
            "success rate",
            "robust accuracy",
            "mean distance",
            "passes per image",
        )
        attacked = len(self) - int(self.initially_wrong.sum())
        row = (
            f"{len(self):,}",
            f"{len(self) - attacked:,}",
            f"{int(hits.sum()):,}",
            f"{100 * self.success_rate:.1f} %" if attacked else "–",
            f"{100 * self.robust_accuracy:.1f} %",
            f"{float(self.distance[hits].mean()):.4g}" if bool(hits.any()) else "–",
            f"{float(self.forwards.double().mean()):.1f}"
            f" + {float(self.backwards.double().mean()):.1f}",
        )
        return (Table(f"under attack, distances in {self.space} space", columns, [row]),)

    @staticmethod
    def cat(results: Sequence[AttackResult]) -> AttackResult:
        """Return the results of several batches as one."""
        if not results:
            raise InputError("there are no results to join; attack at least one image")
        joined = {
            name: torch.cat([getattr(result, name) for result in results]) for name in TENSORS
        }
        return AttackResult(**joined, space=results[0].space)


TENSORS = tuple(field.name for field in fields(AttackResult) if field.name != "space")
"""The fields with a row per sample."""
