"""Saving images so that they stay adversarial: rounding to 8 bits undoes an attack more often than
one thinks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor, nn

from saddlepoint.answers import NO_CLASS
from saddlepoint.attacks import (
    Attack,
    AttackResult,
    Batch,
    Criterion,
    FixedBudget,
    Misclassified,
    Tracker,
    predict,
)
from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.files import write
from saddlepoint.model import Guard, full_precision
from saddlepoint.streams import Keys
from saddlepoint.threat import ThreatModel
from saddlepoint.threat.norms import expand

# A level is recognised through the rounding error of float32, 1.5e-5 levels.
_LEVEL_ROUNDING = 2e-5


@dataclass(frozen=True, eq=False)
class Export:
    """What became of adversarial images when they were rounded to 8 bits.

    Attributes:
        before: of the images that were right at first, the share that fooled the model in floating
            point.
        after: the same, re-judged after rounding: still inside the budget, and still fooling.
        result: the judged 8-bit images.
        files: the PNG files, one per image.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.tensor([[0.5, 0.4]]), torch.tensor([0])
    >>> result = FGSM(Linf(0.1))(nn.Flatten(), x, y)
    >>> Export(Proportion(1, 1), Proportion(0, 1), result, ()).after.value
    0.0
    """

    before: Proportion
    after: Proportion
    result: AttackResult
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Replay(FixedBudget):
    """Offers given images to the judge: no search at all.

    Args:
        images: (n, …) the candidates, in the order of the call.

    >>> from saddlepoint.threat import Linf
    >>> x = torch.tensor([[0.5, 0.4]])
    >>> y = torch.tensor([0])
    >>> result = Replay(Linf(0.1), images=torch.tensor([[0.4, 0.5]]))(nn.Identity(), x, y)
    >>> result.success
    tensor([True])
    """

    images: Float[Tensor, "n ..."]
    norms = Attack.norms

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Hand the candidates over, unseen."""
        tracker.hand_over(batch, self.images.to(tracker.images)[batch.index])


def to_eight_bits(
    images: Float[Tensor, "n ..."],
    adversarials: Float[Tensor, "n ..."],
    threat: ThreatModel,
) -> Float[Tensor, "n ..."]:
    """Return each adversarial image on the lattice k/255, inside the budget where that is possible.

    Each entry goes to the nearest level; an image that this pushes out of the budget is rounded
    towards the clean one and never past it, which for 8-bit clean images enlarges no norm.

    >>> from saddlepoint.threat import Linf
    >>> x = torch.tensor([[100 / 255]])
    >>> 255 * to_eight_bits(x, x + 2.4 / 255, Linf(2.5 / 255))
    tensor([[102.]])
    """
    levels = adversarials.double() * 255
    nearest = (levels.round() / 255).to(adversarials.dtype)
    # An entry that changed by less than a level must not step over the clean value.
    clean = (images.double() * 255).round()
    down, up = (levels + _LEVEL_ROUNDING).floor(), (levels - _LEVEL_ROUNDING).ceil()
    inward = torch.where(adversarials >= images, down.maximum(clean), up.minimum(clean))
    inside = threat.contains(images, nearest)
    rounded = torch.where(expand(inside, images), nearest, (inward / 255).to(adversarials.dtype))
    return rounded.clamp(0, 1)


def export_png(
    model: nn.Module,
    images: Float[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    result: AttackResult,
    threat: ThreatModel,
    folder: Path | str,
    *,
    targets: Int64[Tensor, " n"] | None = None,
    ids: Int64[Tensor, " n"] | None = None,
    seed: int = 0,
    criterion: Criterion | None = None,
    eot_samples: int = 1,
) -> Export:
    """Write the adversarial images as PNG and judge what was written.

    Args:
        model, images, labels, targets, ids, seed: as in the attack's call.
        criterion, eot_samples: the attack's own; None is `Misclassified`.
        result: its result, on the same images.
        threat: the threat model it ran under.
        folder: gets one file per image, ID-label-L-predicted-P.png (P is none where the model
            returns NaN or +∞ for what was written), with -outside-the-budget where
            no lattice point of an image that is not 8-bit itself was inside.

    Raises `InputError` for images that are not grey or RGB, `OutputError` where the disk refuses.

    >>> import tempfile
    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = FGSM(Linf(0.1))(net, x, y)
    ...     len(export_png(net, x, y, result, Linf(0.1), Path(folder)).files)
    1
    """
    folder = Path(folder)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"PNG needs (n, 1 or 3, h, w) images, not {tuple(images.shape)}")
    ids = torch.arange(len(images)) if ids is None else ids
    clean = as_pixels(images).to(result.adversarials)
    rounded = to_eight_bits(clean, result.adversarials, threat)
    judged = Replay(
        threat,
        images=rounded,
        criterion=Misclassified() if criterion is None else criterion,
        eot_samples=eot_samples,
    )(
        model,
        clean,
        labels.to(clean.device),
        None if targets is None else targets.to(clean.device),
        seed=seed,
        ids=ids,
        whole=False,
    )
    attacked = ~result.initially_wrong
    total = int(attacked.sum())
    files = []
    predictions = _classes(model, rounded, ids, seed, eot_samples)
    for i, picture in enumerate((rounded * 255).round().to(torch.uint8).cpu()):
        answer = int(predictions[i])
        outcome = f"predicted-{'none' if answer == NO_CLASS else answer}"
        outcome += "-outside-the-budget" if bool(judged.rejected[i]) else ""
        name = f"{int(ids[i]):06d}-label-{int(labels[i])}-{outcome}.png"
        files.append(write(folder / name, _png(picture)))
    return Export(
        before=Proportion(int((result.success & attacked).sum()), total),
        after=Proportion(int((judged.success & attacked).sum()), total),
        result=judged,
        files=tuple(files),
    )


def _classes(model: nn.Module, images: Tensor, ids: Tensor, seed: int, samples: int) -> Tensor:
    """Return the class of every written image, of those too that the judge did not look at."""
    with (
        Guard(model, len(images), samples=samples, seed=seed) as guard,
        full_precision(guard.device),
    ):
        logits = guard.logits(images.to(guard.device), None, Keys(seed, ids.to(guard.device)))
    return predict(logits)


def _png(picture: Tensor) -> bytes:
    buffer = io.BytesIO()
    array = (
        picture.permute(1, 2, 0).squeeze(2) if picture.shape[0] == 1 else picture.permute(1, 2, 0)
    )
    Image.fromarray(array.numpy()).save(buffer, format="PNG")
    return buffer.getvalue()
