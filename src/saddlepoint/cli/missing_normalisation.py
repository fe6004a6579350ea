"""Does a model without normalisation do badly because it lacks one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.cli.console import note

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saddlepoint.data import ImageData

_IMAGES = 256
_GOOD = 0.9  # a share right from which on nothing is looked for
_BETTER = 0.02  # of the images: what comes first is preferred to what is better by a few
_SURE = 0.001  # of the exact test that other constants do better; a few are tried


def look_for_normalisation(
    spec: str, model: nn.Module, data: ImageData, device: torch.device
) -> None:
    """Note where the usual constants raise the accuracy on at most 256 images, and what it took."""
    import torch

    from saddlepoint.data import IMAGENET
    from saddlepoint.evaluation import mcnemar_test
    from saddlepoint.model import Guard, Normalised, full_precision

    channels = data.shape[0]
    # Spread over the data: folders are sorted by class.
    count = min(_IMAGES, len(data))
    index = torch.arange(count) * len(data) // count
    images, labels = data.images(index), data.labels.cpu()[index]
    looked = 0

    def right(each: nn.Module) -> list[bool] | None:
        nonlocal looked
        answers = []
        with Guard(each, 64) as guard, full_precision(guard.device), torch.no_grad():
            for part in torch.split(images, 64):
                logits = each(part.to(device))
                if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
                    return None  # what is wrong with it is said later
                answers.append(logits.argmax(1).cpu())
        looked += 1
        found: list[bool] = (torch.cat(answers) == labels).tolist()
        return found

    try:
        own = right(model)
        if own is None or sum(own) >= _GOOD * count:
            return
        usual = {"--normalisation data": (data.mean, data.std)}
        if channels == 3:
            usual["--normalisation imagenet"] = IMAGENET
        half = ",".join(["0.5"] * channels)
        usual[f"--mean {half} --std {half}"] = ((0.5,) * channels, (0.5,) * channels)
        best, words = own, ""
        for name, constants in usual.items():
            other = right(Normalised(model, *constants).to(device))
            if other is not None and sum(other) > sum(best) + _BETTER * count:
                best, words = other, name
    except Exception:  # it is the user's code; the run itself says what is wrong
        return
    if words and mcnemar_test(own, best).p < _SURE:
        note(
            f"note: {spec} runs without normalisation and is right on {sum(own)} of {count} images;"
            f" with {words} on {sum(best)} (a look of {looked} passes over {count} images)"
        )
