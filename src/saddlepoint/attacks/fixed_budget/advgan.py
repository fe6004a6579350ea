"""AdvGAN: a trained perturber offers one image, in one pass of its own."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.errors import InputError
from saddlepoint.threat.norms import expand
from saddlepoint.zoo.perturber_file import PerturberFile, as_perturber, read_perturber
from saddlepoint.zoo.weights import weights_fingerprint


@dataclass(frozen=True, kw_only=True)
class AdvGAN(FixedBudget):
    """x + eps·G(x), G a network that was trained to fool the model, projected on the budget.

    It is trained before, on training images alone: `saddlepoint train --objective advgan`, which
    writes the passes that this took into the file. Here an image costs one pass of G, which no guard
    counts, and one forward of the model. G is fixed at its training's eps and moves in proportion at
    another one. A constant G is a universal perturbation. In a targeted attack it offers the same
    image.

    Args:
        file: the weights of G, a file or the folder of its training; read once, when the attack is
            built. Against another model than the one it was trained for, which is warned of, it is an
            attack by transfer.

    Raises `InputError` for a file that holds no perturber; and when called, without a file or for
    images of another shape.

    >>> from saddlepoint.threat import Linf
    >>> AdvGAN(Linf(0.1)).fingerprint
    ''
    """

    file: str = ""
    fingerprint: str = field(init=False, default="")
    """Of the file; in records it stands beside its name."""
    training_passes: int = field(init=False, default=0)
    """Of the target, over all images while G was trained; beside it in records, apart from the attack's."""

    norms = ("Linf",)
    paper = "Xiao et al. 2018, arXiv:1801.02610"
    cost = "1 forward, and 1 of G; G is trained before"
    gradient_free = True
    from_file = "file"

    def __post_init__(self) -> None:
        super().__post_init__()
        held = read_perturber(self.file) if self.file else None
        object.__setattr__(self, "_held", held)
        object.__setattr__(self, "fingerprint", "" if held is None else held.fingerprint)
        passes = 0 if held is None else held.trained.target_passes
        object.__setattr__(self, "training_passes", passes)

    @property
    def held(self) -> PerturberFile:
        """The perturber and what it was trained for; raises `InputError` without a file."""
        found: PerturberFile | None = self.__dict__["_held"]
        if found is None:
            raise InputError(
                "advgan needs a perturber that was trained for the model: give file=PATH (--set"
                " file=PATH), as `saddlepoint train --model perturber --objective advgan` writes it"
            )
        return found

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return 1

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Offer the one image."""
        if not len(batch):
            return
        held = self.held
        perturber = as_perturber(held.perturber, batch.images.shape[1:])
        own = weights_fingerprint(batch.guard.model)
        if own != held.trained.target:
            warnings.warn(
                f"{self.file} was trained against another model ({held.trained.target}) than this"
                f" one ({own}): it is an attack by transfer",
                stacklevel=2,
            )
        perturber = perturber.to(batch.images.device)
        # In G's own precision; x ← Π(x + eps·G(x)).
        with torch.no_grad():
            direction = perturber(batch.images.float()).to(batch.clean.dtype)
        eps = expand(batch.threat.radius(batch.images), batch.clean)
        tracker.offer(batch, batch.project(batch.clean + eps * direction))
