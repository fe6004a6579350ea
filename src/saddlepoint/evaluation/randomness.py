"""Is the model a function of the image? If random, it is attacked in expectation, and the record
says so; it also says where the batch decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from saddlepoint.attacks import Attack, Criterion
from saddlepoint.attacks.core.faults import batch_dependent, batch_warning, drift_warning
from saddlepoint.data import ImageData
from saddlepoint.model import Guard, averaged_passes, full_precision, is_random, same_logits

_EOT_SAMPLES = 10


@dataclass(frozen=True)
class Passes:
    """How a model is to be run: how many calls to average, whether it is random at inference, and
    what the record is to say of it.

    >>> Passes(1, False).notes
    ()
    """

    samples: int
    random: bool
    notes: tuple[str, ...] = ()

    def prepared(self, attack: Attack, criterion: Criterion) -> Attack:
        """Return the attack as it is run on such a model, by a criterion.

        >>> from saddlepoint.attacks import FGSM, Misclassified
        >>> from saddlepoint.threat import Linf
        >>> Passes(10, True).prepared(FGSM(Linf(0.1)), Misclassified()).stop
        'never'
        """
        # One average that fools may be luck, and must not finish an image.
        stop = "never" if self.samples > 1 else attack.stop
        return replace(attack, criterion=criterion, eot_samples=self.samples, stop=stop)


def passes_for(model: nn.Module, data: ImageData, eot_samples: int | None) -> Passes:
    """Return how many calls of the model to average, from two passes over a few images.

    By default they come to ten passes: a model whose call is itself an average of five
    (`averaged_passes`) is called twice.

    >>> from saddlepoint.data import load_data
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> passes_for(net, load_data("digits"), None)
    Passes(samples=1, random=False, notes=())
    """
    declared = is_random(model)
    if not declared:
        random, notes = _looked_at(model, data)
        if not random:
            return Passes(eot_samples or 1, False, notes)
    own = averaged_passes(model)
    samples = eot_samples or math.ceil(_EOT_SAMPLES / own)
    kind = "declares itself random" if declared else "is random at inference, undeclared"
    if samples * own == 1:
        note = f"the model {kind} and was attacked without averaging: the accuracy is too high"
        return Passes(1, True, (note,))
    calls = f", {samples} calls that average {own} each," if own > 1 else ""
    note = f"the model {kind}; its expectation over {samples * own} passes{calls} was attacked"
    return Passes(samples, True, (note,))


def _looked_at(model: nn.Module, data: ImageData) -> tuple[bool, tuple[str, ...]]:
    """Return whether two passes differ, and what is to be noted where they do not."""
    images = data.images(torch.arange(min(4, len(data))))
    with Guard(model, len(images)) as guard, full_precision(guard.device):
        images = images.to(guard.device)
        if not guard.passes_agree(images):
            return True, ()
        written = guard.changed_buffer if guard.drew_or_wrote() else ""
        notes = [drift_warning(written)] if written else []
        layer, few = batch_dependent(model), max(2, len(images) // 2)
        if not layer and len(images) > few:
            whole, part = (
                guard.logits(images),
                guard.logits(images[:few], torch.arange(few, device=guard.device)),
            )
            if not same_logits(whole[:few], part, guard.dtype):
                layer = "the model"
    if layer:
        notes.append(batch_warning(layer))
    return False, tuple(notes)
