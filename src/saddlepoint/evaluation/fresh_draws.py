"""Draws that an attack has not seen: a random model answers the same images again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Criterion, OutsideTopK, predict
from saddlepoint.model import Guard
from saddlepoint.model.generators import own_random_state
from saddlepoint.streams import Keys, derive


@contextlib.contextmanager
def fresh_guard(model: nn.Module, keys: Keys, purpose: str, samples: int = 1) -> Iterator[Guard]:
    """Guard the model, in full precision, with draws that no attack of the same seed has seen.

    Of random layers it is the stream of the keys that sees to it, and their noise does not depend
    on the batch. A foreign model draws from generators, its own among them, which are seeded anew by
    the seed, the purpose and the ids, so that batches differ; what it draws depends on the batch.

    >>> held = nn.Flatten()
    >>> held.generator = torch.Generator().manual_seed(1)
    >>> before = held.generator.get_state()
    >>> with fresh_guard(held, Keys(0, torch.arange(2)), "an example"):
    ...     bool((held.generator.get_state() == before).all())
    False
    >>> bool((held.generator.get_state() == before).all())
    True
    """
    count = len(keys.ids)
    seed = derive(keys.seed, purpose, *keys.ids.tolist())
    guard = Guard(model, count, samples=samples, seed=seed)
    with own_random_state(guard.device, seed, model) as generators:
        generators.seed(seed)
        with guard, guard.exact():
            yield guard


@dataclass(eq=False)
class Tally:
    """What became of n images in the draws that were counted so far.

    Args:
        goals: (n,) the label of each, or its target.
        criterion: what counts as fooled.

    >>> from saddlepoint.attacks import Misclassified
    >>> tally = Tally(torch.tensor([0, 1]), Misclassified())
    >>> for _ in range(2):
    ...     tally.count(torch.tensor([[2.0, 1.0], [2.0, 1.0]]))
    >>> tally.standing, tally.holds_the_vote()
    (tensor([2, 0]), tensor([ True, False]))
    """

    goals: Int64[Tensor, " n"]
    criterion: Criterion

    def __post_init__(self) -> None:
        self.standing = torch.zeros_like(self.goals)
        """(n,) in how many draws the criterion did not hold."""
        self.margins = torch.zeros(len(self.goals), dtype=torch.float64, device=self.goals.device)
        """(n,) the sum of the margins."""
        self._votes: Tensor | None = None

    def count(self, logits: Float[Tensor, "n k"]) -> None:
        """Count one draw."""
        margin = self.criterion.margin(logits, self.goals)
        self.standing += ~(margin < 0)
        self.margins += margin.nan_to_num().double()
        ballots = _ballots(logits, self.criterion)
        self._votes = ballots if self._votes is None else self._votes + ballots

    def holds_the_vote(self) -> Bool[Tensor, " n"]:
        """Return whether the image stands where each draw has a vote; of classes with as many votes
        the lowest comes first, as argmax has it.
        """
        if self._votes is None:
            return torch.ones_like(self.goals, dtype=torch.bool)
        return ~(self.criterion.margin(self._votes, self.goals) < 0)


def _ballots(logits: Tensor, criterion: Criterion) -> Float[Tensor, "n k"]:
    """Return the vote of one draw: 1 for the class that it predicts, or for each of the k leading
    ones where the criterion asks about k; of one logit 1 for class 1 and −1 for class 0.
    """
    if logits.shape[1] == 1:
        return (2.0 * predict(logits) - 1)[:, None]
    if isinstance(criterion, OutsideTopK):
        chosen = logits.sort(dim=1, descending=True, stable=True).indices[:, : criterion.k]
    else:
        chosen = predict(logits)[:, None]
    return torch.zeros_like(logits).scatter(1, chosen, 1.0)
