"""JSMA with other sums than the published one: what makes it give up, and what does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import JSMA
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.saturation import PRINTED_LOGITS, saturation_expected
from saddlepoint.model import Guard
from saddlepoint.threat import L0


class Centred(nn.Module):
    """A network whose logits are moved so that they sum to 0, which changes no prediction.

    The sum over all other classes is then minus the target's own, so that JSMA refuses no pair that
    raises the target.

    >>> Centred(nn.Flatten())(torch.tensor([[4.0, 2.0]]))
    tensor([[ 1., -1.]])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the centred logits."""
        logits: Tensor = self.net(images)
        return logits - logits.mean(1, keepdim=True)


class TwoClasses(nn.Module):
    """A network that tells one class, 1, from the highest of all others, 0.

    >>> TwoClasses(nn.Flatten(), target=2)(torch.tensor([[4.0, 1.0, 3.0]]))
    tensor([[4., 3.]])
    """

    def __init__(self, net: nn.Module, target: int) -> None:
        super().__init__()
        self.net, self.target = net, target

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n 2"]:
        """Return max_{j≠t} Z_j and Z_t."""
        logits: Tensor = self.net(images)
        own = torch.full_like(logits[:, :1], self.target, dtype=torch.int64)
        rival = logits.scatter(1, own, -torch.inf).amax(1)
        return torch.stack([rival, logits[:, self.target]], 1)


@dataclass(frozen=True, eq=False)
class Reached:
    """What a variant of JSMA came to, free to change every feature.

    Attributes:
        success: the network answers the target.
        changed: features; NaN where it gave up, as no pair of the features that are left counts.

    >>> Reached(torch.tensor([True]), torch.tensor([4.0])).within(2)
    tensor([False])
    """

    success: Bool[Tensor, " n"]
    changed: Float[Tensor, " n"]

    def within(self, features: int) -> Bool[Tensor, " n"]:
        """Return where it succeeded with at most so many features."""
        return self.success & (self.changed <= features)


def _on_logits(net: nn.Module, x: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    attack = JSMA.published(L0(), max_changed=1.0)
    return attack(net, x, labels, targets).adversarials


def _on_probabilities(net: nn.Module, x: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    attack = JSMA.published(L0(), on="probabilities", max_changed=1.0)
    return attack(net, x, labels, targets).adversarials


def _on_centred(net: nn.Module, x: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    return _on_logits(Centred(net), x, labels, targets)


def _on_two_classes(net: nn.Module, x: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    found = x.clone()
    for target in sorted(set(targets.tolist())):
        rows = targets == target
        zeros = torch.zeros_like(targets[rows])
        found[rows] = _on_logits(TwoClasses(net, target), x[rows], zeros, zeros + 1)
    return found


JSMA_VARIANTS: Mapping[str, Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]] = (
    MappingProxyType(
        {
            "JSMA-F": _on_probabilities,
            "JSMA-Z": _on_logits,
            "JSMA-Z, centred": _on_centred,
            "JSMA-Z, two classes": _on_two_classes,
        }
    )
)
"""From a network, images, labels and targets to the images found; the clean one where it gave up.

"centred" runs it on `Centred` logits; "two classes" takes the sum over all other classes over the
highest of them alone, as the notes on defensive distillation propose.
"""


def jsma_reaches(
    variant: str,
    net: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    targets: Int64[Tensor, " n"],
) -> Reached:
    """Run a variant of `JSMA_VARIANTS` until it succeeds or gives up.

    >>> net, x = printed_toy(), torch.zeros(1, 20)
    >>> for name in JSMA_VARIANTS:
    ...     reached = jsma_reaches(name, net, x, torch.tensor([5]), torch.tensor([3]))
    ...     print(name, bool(reached.success), float(reached.changed))
    JSMA-F False nan
    JSMA-Z False nan
    JSMA-Z, centred False nan
    JSMA-Z, two classes True 8.0
    """
    if not len(images):
        return Reached(torch.zeros(0, dtype=torch.bool), torch.zeros(0).double())
    with saturation_expected():
        found = JSMA_VARIANTS[variant](net, images, labels, targets)
    success = (predictions(net, found)[0] == targets).cpu()
    changed = (found != images).flatten(1).sum(1).cpu().double()
    return Reached(success, torch.where(success, changed, torch.nan))


def printed_toy(features: int = 20, gain: float = 30.0, others: float = 40.0) -> nn.Linear:
    """Return a linear network that gives the printed logits at 0, and JSMA no pair that counts.

    Each feature raises Z_3 and lowers Z_5 by `gain`, and raises the eight others, which are far
    below, by `others`. Eight features make 3 the class; but together the other classes rise by
    8·`others` − `gain` per feature, so that every pair is refused.

    >>> printed_toy()(torch.zeros(1, 20)).argmax(), printed_toy()(torch.ones(1, 20)).argmax()
    (tensor(5), tensor(3))
    """
    net = nn.Linear(features, len(PRINTED_LOGITS))
    weight = torch.full_like(net.weight.data, others)
    weight[3], weight[5] = gain, -gain
    net.weight.data, net.bias.data = weight, torch.tensor(PRINTED_LOGITS)
    return net


def outvoted(
    net: nn.Module, images: Float[Tensor, "n ..."], targets: Int64[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return, of the pairs that raise the target and lower the predicted class, the share that JSMA
    refuses as all other classes together do not fall; NaN without such pairs.

    Features on their upper bound are in no pair.

    >>> outvoted(printed_toy(), torch.zeros(1, 20), torch.tensor([3]))
    tensor([1.])
    """

    def cotangents(logits: Tensor) -> Tensor:
        own = functional.one_hot(targets.to(logits.device), logits.shape[1])
        rival = functional.one_hot(logits.argmax(1), logits.shape[1])
        return torch.stack([own, rival, 1 - own], 1).to(logits.dtype)

    if not len(images):
        return torch.zeros(0)
    with Guard(net, len(images)) as guard:
        _, slopes = guard.jacobian(images.to(guard.device), cotangents)
    shares = []
    for x, rows in zip(images, slopes.flatten(2), strict=True):
        free = rows.to(x.device)[:, x.flatten() < 1]
        if free.shape[1] < 2:
            shares.append(torch.nan)
            continue
        first, second = torch.triu_indices(free.shape[1], free.shape[1], offset=1)
        own, rival, others = free[:, first] + free[:, second]
        useful = (own > 0) & (rival < 0)
        shares.append(float((useful & (others >= 0)).sum() / useful.sum()))
    return torch.tensor(shares)
