"""Networks that are equally good on clean images, by stopping each at the right epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.defences import Recipe, Validation
from saddlepoint.lab.early_stopping import epoch_by_epoch
from saddlepoint.lab.outputs import predictions
from saddlepoint.training.split import Split

_ROUNDING = 1e-9  # of shares


@dataclass(frozen=True, eq=False)
class Trained:
    """A network's weights after every epoch, and its accuracy on held-out images then.

    >>> Trained(nn.Identity(), ({},), (0.5,)).stopped_at(1)
    Identity()
    """

    model: nn.Module
    weights: tuple[Mapping[str, Tensor], ...]
    accuracy: tuple[float, ...]

    def stopped_at(self, epoch: int) -> nn.Module:
        """Return the network as it was after an epoch, in evaluation mode."""
        self.model.load_state_dict(self.weights[epoch - 1])
        return self.model.eval()


def train_watched(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    share: float = 0.1,
    seed: int = 0,
    after_epoch: Callable[[], None] = lambda: None,
) -> Trained:
    """Train a network, and keep its weights and its held-out accuracy of every epoch.

    Args:
        share: of the images that are held out; they are the same for every network of a seed.
        after_epoch: called after each, for progress.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", split="train", limit=60)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> len(train_watched(net, data, Recipe(epochs=2, batch_size=32)).accuracy)
    2
    """
    rows = Split.of(data, Recipe(validation=Validation(share)), seed).held_out
    x, y = data.images(rows), data.labels[rows.to(data.labels.device)].cpu()
    weights, accuracy = [], []
    for now in epoch_by_epoch(model, data, recipe, share=share, seed=seed):
        weights.append(
            {name: each.detach().cpu().clone() for name, each in now.state_dict().items()}
        )
        right = predictions(now.eval(), x)[0].cpu() == y
        accuracy.append(float(right.double().mean()))
        after_epoch()
    return Trained(model, tuple(weights), tuple(accuracy))


def matched_epochs(trained: Mapping[str, Trained], within: float = 0.01) -> dict[str, int]:
    """Return the epoch of each network at which all are equally accurate, as high as there is one.

    Accuracies are equal where no two are further apart than `within`; where the networks never are, the
    epochs at which they are the least apart.

    >>> one, other = (Trained(nn.Identity(), (), a) for a in ((0.5, 0.7, 0.9), (0.6, 0.71, 0.8)))
    >>> matched_epochs({"one": one, "other": other}, within=0.02)
    {'one': 2, 'other': 2}
    """
    found: dict[str, int] = {}
    least = math.inf
    for low in sorted({a for each in trained.values() for a in each.accuracy}, reverse=True):
        above = {name: _above(each.accuracy, low) for name, each in trained.items()}
        if any(a is None for a in above.values()):
            continue
        reached = {name: a for name, a in above.items() if a is not None}
        apart = max(reached.values()) - low
        if apart < least:
            least = apart
            found = {name: 1 + trained[name].accuracy.index(a) for name, a in reached.items()}
        if apart <= within + _ROUNDING:
            break
    return found


def _above(accuracy: Sequence[float], low: float) -> float | None:
    """Return the smallest accuracy that is not below `low`."""
    return min((a for a in accuracy if a >= low), default=None)
