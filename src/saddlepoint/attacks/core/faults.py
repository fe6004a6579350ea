"""What a call warns of: gradients and logits that are none, randomness, and what the batch decides."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.model import Guard

_PROBED = 4
_TOSSES = 16


def find_randomness(guard: Guard, images: Tensor, *, suspected: bool = False) -> bool:
    """Return whether a model is random at inference, by its own word or by passes over a few
    images, which are counted: two, and up to 16 until two differ where numbers were drawn.

    The passes are spent only where the clean one drew from a generator or changed a buffer, or
    where something else is `suspected`.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    >>> x = torch.rand(1, 2)
    >>> with Guard(net, count=1) as guard:
    ...     find_randomness(guard, x), guard.forwards.tolist()
    (False, [0])
    """
    if guard.random or not (suspected or guard.drew_or_wrote()):
        return guard.random
    rows = torch.arange(min(_PROBED, len(images)), device=guard.device)
    # Whoever draws numbers may toss a coin once for all images: a few passes may agree by chance.
    passes = _TOSSES if guard.drew_or_wrote() else 2
    return not guard.passes_agree(images[rows], rows, passes)


def warn_of_faults(
    guard: Guard, result: AttackResult, live: Bool[Tensor, "n k"], *, undeclared: bool = False
) -> None:
    """Warn of what makes the numbers of a call less than they seem.

    `live` says which classes can come at all; see `live_classes`.

    >>> from saddlepoint.attacks import UniformNoise
    >>> from saddlepoint.threat import Linf
    >>> result = UniformNoise(Linf(0.1))(torch.nn.Flatten(), torch.rand(1, 2), torch.tensor([0]))
    >>> warn_of_faults(Guard(torch.nn.Flatten(), count=1), result, torch.ones(1, 2).bool())
    """
    ledger, total = guard.ledger, len(result)
    alone = (live.sum(1) < 2) & (live.shape[1] > 1) & ~result.success
    if single := int(alone.sum()):
        _warn(
            f"only one class can come for {single} of {total} images, the logits of all others are"
            " −∞: no direction leads to another"
        )
    if broken := int(ledger.broken.sum()):
        _warn(
            f"the gradient was NaN or infinite for {broken} of {total} images and was taken as 0"
            " there: their robustness is not to be trusted; look for sqrt(0), log(0) or overflow"
            " in the model"
        )
    if unsound := int(ledger.unsound.sum()):
        _warn(
            f"the model returned NaN or infinite logits for {unsound} of {total} images when they"
            " were changed; an image without a class counts as fooled, and reaches no target; look for"
            " overflow, log(0) or 0/0 in the model, or for NaN in the images that the attack tried"
        )
    if lost := int((ledger.unguided & ~result.success & ~alone).sum()):
        _warn(
            f"the gradient was exactly 0 at every step for {lost} of {total} images: their"
            " robustness is not to be trusted; look for rounding, saturation or a detached part in"
            " the model"
        )
    if undeclared:
        how = f"averages of {guard.samples} passes" if guard.samples > 1 else "single draws"
        _warn(
            f"the model is random at inference, undeclared; these results are of {how}, and"
            " eot_samples=10 or more attacks its expectation"
        )
    elif guard.changed_buffer:
        _warn(drift_warning(guard.changed_buffer))
    if layer := batch_dependent(guard.model):
        _warn(batch_warning(layer))


def warn_of_offers(
    attack: object, result: AttackResult, images: Tensor, may: Bool[Tensor, " n"]
) -> None:
    """Warn where somebody's attack offered nothing that counts, which would look like robustness.

    Args:
        attack: of ours it is known that they stay within the budget, or replay what others found,
            which may not.
        images: the clean ones.
        may: (n,) where the attack has something to offer, as one with a budget has.

    >>> from saddlepoint.attacks import UniformNoise
    >>> from saddlepoint.threat import Linf
    >>> images = torch.rand(1, 2)
    >>> result = UniformNoise(Linf(0.1))(torch.nn.Flatten(), images, torch.tensor([0]))
    >>> warn_of_offers(UniformNoise(Linf(0.1)), result, images, torch.ones(1).bool())
    """
    while hasattr(attack, "attack"):  # a wrapper
        attack = attack.attack
    name = type(attack).__name__
    if type(attack).__module__.startswith("saddlepoint."):
        return
    if rejected := int(result.rejected.sum()):
        _warn(
            f"{name} left the budget, the range or the mask for {rejected} of {len(result)} images, or"
            " offered NaN: they count as not fooled. An attack projects what it records"
        )
    tried = ~result.initially_wrong & ~result.rejected & may.to(result.rejected.device)
    moved = (result.adversarials != images.to(result.adversarials)).flatten(1).any(1)
    if bool(tried.any()) and not bool(moved[tried].any()):
        _warn(
            f"{name} offered no changed image for any of {int(tried.sum())} images: their robustness is"
            " not to be trusted. An attack records what it finds, and within the budget"
        )


def batch_dependent(model: torch.nn.Module) -> str:
    """Return the name of a BatchNorm without running statistics; "" where there is none.

    >>> batch_dependent(torch.nn.Sequential(torch.nn.BatchNorm1d(2, track_running_stats=False)))
    '0'
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            return name or type(module).__name__
    return ""


def batch_warning(layer: str) -> str:
    """Return what is to be said of a layer that looks at the whole batch.

    >>> batch_warning("bn1")[:45]
    'bn1 uses statistics of the batch: what the mo'
    """
    return (
        f"{layer} uses statistics of the batch: what the model says of an image depends on the"
        " others beside it, and these results hold in these batches alone"
    )


def drift_warning(buffer: str) -> str:
    """Return what is to be said of a buffer that a pass has changed.

    >>> drift_warning("scale")[:44]
    'the model changes its buffer scale in evalua'
    """
    return (
        f"the model changes its buffer {buffer} in evaluation mode; it was put back before every"
        " pass, so that no result depends on the images before"
    )


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)
