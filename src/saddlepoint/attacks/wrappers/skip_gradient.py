"""The skip-gradient method: an attack whose gradient comes by shortcuts more than by branches."""

from __future__ import annotations

from dataclasses import dataclass, field

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.option_values import Share
from saddlepoint.zoo import skip_gradient


@dataclass(frozen=True, kw_only=True)
class SkipGradient(Wrapper):
    """An attack on a residual network in whose backward passes every residual branch counts by γ.

    What it finds on the network itself is weaker; it is meant for a surrogate, of which the images
    then fool others more often: `Transfer(SkipGradient(attack, 0.5), surrogate)`.

    Args:
        attack: any attack that follows gradients; not under torch.compile.
        gamma: γ in (0, 1]; 1 is the attack as it is. The paper's are 0.2 for ResNets and 0.5 for
            DenseNets.
        branches: patterns of names of the modules that end branches, for networks whose blocks are
            not known; see `residual_branches`.

    Raises `InputError` around a `Transfer`, whose surrogate it would not reach; and, when called, for
    a network without residual blocks that are known.

    >>> import torch
    >>> from saddlepoint.attacks import BIM, Transfer
    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import build_model
    >>> nets = [build_model("resnet20", classes=3, shape=(1, 8, 8), seed=s).eval() for s in (0, 1)]
    >>> attack = Transfer(SkipGradient(BIM(Linf(0.1)), 0.5), nets[0])
    >>> images = torch.rand(2, 1, 8, 8)
    >>> attack(nets[1], images, nets[1](images).argmax(1)).backwards  # of the attacked model
    tensor([0, 0])
    """

    gamma: Share = field(kw_only=False)
    branches: tuple[str, ...] = ()

    paper = "Wu et al. 2020, arXiv:2002.05990"

    def __post_init__(self) -> None:
        super().__post_init__()
        inner: object = self.attack
        while inner is not None:
            if isinstance(inner, Transfer):
                raise InputError(
                    "the surrogate is inside transfer: put skip-gradient inside of it first"
                )
            inner = getattr(inner, "attack", None)
        if self.compile:
            raise InputError("what torch.compile has made cannot be looked into; leave compile out")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the attack with the gradient of branches multiplied."""
        with skip_gradient(batch.guard.model, self.gamma, self.branches):
            self.attack.perturb(batch, tracker)
