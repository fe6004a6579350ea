"""The attacks that defensive distillation was measured by, as published and as they are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import (
    FGSM,
    JSMA,
    LBFGS,
    Attack,
    CarliniWagnerL0,
    CarliniWagnerL2,
    CarliniWagnerLinf,
    DeepFool,
)
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.saturation import in_double, saturation_expected
from saddlepoint.threat import L0, L2, Linf

ANY, GIVEN = "any other class", "a given class"
AIMS = (ANY, GIVEN)
_PUBLISHED: Final = "softmax-cross-entropy"
_ODDS: Final = "cross-entropy"


class Strength(Protocol):
    """What the attacks are set to.

    >>> from saddlepoint.lab import DistillationSettings
    >>> strength: Strength = DistillationSettings()
    >>> strength.max_changed
    0.145
    """

    @property
    def eps(self) -> float:
        """FGSM's budget in Linf."""
        ...

    @property
    def steps(self) -> int:
        """Adam's, per c, in C&W's attacks."""
        ...

    @property
    def max_changed(self) -> float:
        """The largest share of features that JSMA changes."""
        ...


class Probabilities(nn.Module):
    """A network that returns its softmax F in place of its logits Z, at temperature 1.

    >>> Probabilities(nn.Flatten())(torch.tensor([[200.0, 0.0]]))
    tensor([[1., 0.]])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the probabilities."""
        logits: Tensor = self.net(images)
        return logits.softmax(1)


def _itself(model: nn.Module) -> nn.Module:
    return model


Group = Literal["published", "here"]
"""Whether an attack goes by the saturated softmax, as published, or by the logits."""


@dataclass(frozen=True)
class Line:
    """One attack of the comparison.

    Attributes:
        name: in words.
        group: see `Group`.
        make: returns the attack.
        aims: of `AIMS`, those that it is run with.
        view: returns what it sees of the model.
        teacherless: whether it is run without a teacher too, and then towards any other class alone.

    >>> LINES[0].name, LINES[0].make(DistillationStrength()).loss
    ('FGSM, softmax', 'softmax-cross-entropy')
    """

    name: str
    group: Group
    make: Callable[[Strength], Attack]
    aims: tuple[str, ...] = AIMS
    view: Callable[[nn.Module], nn.Module] = _itself
    teacherless: bool = True


@dataclass(frozen=True)
class DistillationStrength:
    """A plain `Strength`.

    >>> DistillationStrength(eps=0.1).eps
    0.1
    """

    eps: float = 0.25
    steps: int = 100
    max_changed: float = 0.145


_SEARCHES = 5  # values of c at most


def _linf(strength: Strength) -> Attack:
    # Larger steps and fewer thresholds than the attack's own: an eighth of the passes, and images 5 to
    # 10 % further away. Whether there are any is what is asked here.
    return CarliniWagnerLinf(
        Linf(), steps=strength.steps, learning_rate=0.03, factor=0.8, refinements=1, patience=10,
        decays=0,
    )  # fmt: skip


LINES: tuple[Line, ...] = (
    Line("FGSM, softmax", "published", lambda s: FGSM(Linf(s.eps), loss=_PUBLISHED)),
    Line(
        "FGSM, softmax, float64", "published", lambda s: FGSM(Linf(s.eps), loss=_PUBLISHED),
        (ANY,), in_double,
    ),
    Line("DeepFool on F", "published", lambda _: DeepFool.published(L2()), (ANY,), Probabilities),
    Line(
        "JSMA-F", "published",
        lambda s: JSMA.published(L0(), on="probabilities", max_changed=s.max_changed),
    ),
    Line("L-BFGS, softmax", "published", lambda _: LBFGS.published(L2(), searches=_SEARCHES)),
    Line("FGSM, log-odds", "here", lambda s: FGSM(Linf(s.eps), loss=_ODDS)),
    Line("DeepFool on Z", "here", lambda _: DeepFool.published(L2()), (ANY,)),
    Line("JSMA-Z", "here", lambda s: JSMA.published(L0(), max_changed=s.max_changed)),
    Line(
        "L-BFGS, log-odds", "here", lambda _: LBFGS(L2(), loss=_ODDS, searches=_SEARCHES), (ANY,),
        teacherless=False,
    ),
    Line(
        "C&W L2", "here", lambda s: CarliniWagnerL2(L2(), steps=s.steps, searches=_SEARCHES)
    ),
    Line(
        "C&W L0", "here",
        lambda s: CarliniWagnerL0(L0(), steps=s.steps, learning_rate=0.05, patience=10), (ANY,),
        teacherless=False,
    ),
    Line("C&W Linf", "here", _linf, (ANY,), teacherless=False),
)  # fmt: skip
"""All of them. What costs most is left out without a teacher."""


@dataclass(frozen=True, eq=False)
class Struck:
    """What an attack did to n images.

    Attributes:
        fooled: the network, asked for its logits in its own precision, answers as the aim has it.
        distance: in the attack's own norm; NaN where not fooled.

    >>> Struck(torch.tensor([True, False]), torch.tensor([2.0, float("nan")])).share
    0.5
    """

    fooled: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]

    @property
    def share(self) -> float:
        """The share that is fooled; NaN of no images."""
        return float(self.fooled.double().mean())

    @property
    def mean_distance(self) -> float:
        """The mean distance of the fooled; NaN without any."""
        return float(self.distance.nanmean())


def strike(
    line: Line,
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    targets: Int64[Tensor, " n"] | None,
    strength: Strength,
    seed: int,
) -> Struck:
    """Attack what the line sees of a model, and ask the model itself.

    Args:
        line: the attack.
        model, images, labels, seed: as of every attack.
        targets: the given classes; None for any other.
        strength: of the attack.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = 1000 * torch.eye(2)
    >>> x, y = torch.tensor([[0.6, 0.4]]), torch.zeros(1).long()
    >>> lines = {line.name: line for line in LINES}
    >>> [strike(lines[name], net, x, y, None, DistillationStrength(), 0).share
    ...  for name in ("FGSM, softmax", "FGSM, softmax, float64", "FGSM, log-odds")]
    [0.0, 1.0, 1.0]
    """
    if not len(images):
        return Struck(torch.zeros(0, dtype=torch.bool), torch.zeros(0).double())
    seen = line.view(model)
    first = next(seen.parameters(), images)
    with saturation_expected():
        result = line.make(strength)(seen, images.to(first.dtype), labels, targets, seed=seed)
    answered, _ = predictions(model, result.adversarials.to(images.dtype))
    fooled = (answered != labels if targets is None else answered == targets).cpu()
    far = result.distance.cpu().double()
    distance = torch.where(fooled & far.isfinite(), far, torch.nan)
    return Struck(fooled, distance)
