"""Checks of what a model returns, or raises. Each error names what was seen and the fix."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.reading import shown

NO_CLASS = -1
"""The prediction for an image for which the model returns no answer; see `unanswered`."""


def class_name(classes: Sequence[str], output: int) -> str:
    """Return the name of a class by the number of an output; a model may have more outputs than its
    data has classes.

    >>> [class_name(("cat", "dog"), output) for output in (1, 7, NO_CLASS)]
    ['dog', '7', 'no class']
    """
    if output == NO_CLASS:
        return "no class"
    return classes[output] if output < len(classes) else str(output)


_MOST_TOLD = 8  # outputs of a model that an error names


def parts_of(output: object) -> dict[str, Any]:
    """Return the named values that a model returned, those of a tuple by their places; of what is
    one value alone, none.

    >>> parts_of({"logits": 1}), parts_of((2, None)), parts_of(torch.zeros(1))
    ({'logits': 1}, {'0': 2, '1': None}, {})
    """
    if isinstance(output, Tensor | str | bytes):
        return {}
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if isinstance(output, tuple | list):
        names = getattr(output, "_fields", range(len(output)))
        return {str(name): value for name, value in zip(names, output, strict=True)}
    if dataclasses.is_dataclass(output) or hasattr(output, "__dict__"):
        public = {k: v for k, v in vars(output).items() if not k.startswith("_")}
        return public if any(isinstance(v, Tensor) for v in public.values()) else {}
    return {}


def described(output: object) -> str:
    """Return what a model returned, in words: its kind, and the name and shape of each value in it.

    >>> described({"logits": torch.zeros(1, 2), "loss": None})
    'a dict of logits (1, 2), loss NoneType'
    """
    told = [
        f"{shown(name)} {tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__}"
        for name, v in parts_of(output).items()
    ]
    more = ", …" if len(told) > _MOST_TOLD else ""
    of = f" of {', '.join(told[:_MOST_TOLD])}{more}" if told else ""
    return f"a {type(output).__name__}{of}"


def check_output(output: object, count: int) -> None:
    """Raise `InputError` unless a model's output is one tensor of logits (n, k).

    >>> check_output((torch.zeros(1, 2), None), 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model returns a tuple of 0 (1, 2), 1 NoneType; wrap it:
    saddlepoint.model.ReadOutput(model, 0)
    (evaluate and run_attack also take output=0, commands --output 0)
    """
    if not isinstance(output, Tensor):
        likely = _likely(output, count)
        if likely is None:
            raise InputError(
                f"the model returns {described(output)}, and no logits ({count}, classes); wrap it"
                " so that it returns the logits alone"
            )
        bare = likely.strip('"')
        raise InputError(
            f"the model returns {described(output)}; wrap it:"
            f" saddlepoint.model.ReadOutput(model, {likely})\n(evaluate and run_attack also take"
            f" output={likely}, commands --output {bare})"
        )
    if output.ndim != 2 or len(output) != count:
        raise InputError(
            f"the model returns shape {tuple(output.shape)} for {count} images;"
            f" logits have shape ({count}, classes)"
        )
    if not output.is_floating_point():
        raise InputError(f"the model returns {output.dtype}; logits are floats")


def _likely(output: object, count: int) -> str | None:
    """Return, as one would write it, the name of the output that may be the logits."""
    parts = parts_of(output)
    fit = [
        name
        for name, v in parts.items()
        if isinstance(v, Tensor) and v.is_floating_point() and v.ndim == 2 and len(v) == count
    ]
    if not fit:
        return None
    name = min(fit, key=lambda name: ("logit" not in name.lower(), fit.index(name)))
    return name if type(output) in (tuple, list) else f'"{shown(name)}"'


def model_failed(what: str, images: Tensor, error: Exception, who: str = "the model") -> Exception:
    """Return the error for foreign code that raised; what is no fault of the input comes back.

    >>> print(model_failed("cannot take", torch.zeros(1, 3, 5, 5), AssertionError("want 224")))
    the model cannot take images of shape (3, 5, 5): AssertionError: want 224
    """
    if isinstance(error, InputError | MemoryError | torch.cuda.OutOfMemoryError):
        return error
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    line = lines[0] if lines and kind == "RuntimeError" else ": ".join([kind, *lines[:1]])
    return InputError(f"{who} {what} images of shape {tuple(images.shape[1:])}: {line}")


def unanswered(logits: Float[Tensor, "n k"]) -> Bool[Tensor, " n"]:
    """Return for which images the logits are no answer: NaN or +inf among them, or −inf throughout.

    −inf at some classes masks them, and is an answer.

    >>> nan, inf = float("nan"), float("inf")
    >>> unanswered(torch.tensor([[nan, 0.0], [0.0, inf], [-inf, -inf], [-inf, 0.0]]))
    tensor([ True,  True,  True, False])
    """
    return ~(logits < torch.inf).all(1) | (logits == -torch.inf).all(1)


def silence(count: int, total: int) -> str:
    """Return what is to be said of clean images without an answer.

    >>> silence(1, 20)
    'the model returns NaN or infinite logits for 1 of 20 images: they count as wrong'
    """
    return (
        f"the model returns NaN or infinite logits for {count} of {total} images: they count as"
        " wrong"
    )


def silence_under_attack(count: int, total: int) -> str:
    """Return what is to be said of changed images without an answer.

    >>> silence_under_attack(1, 20)[:84]
    'the model returns NaN or infinite logits for 1 of 20 images as an attack left them: '
    """
    return (
        f"the model returns NaN or infinite logits for {count} of {total} images as an attack left"
        " them: without a class they count as fooled, and reach no target"
    )


def check_answered(answered: Bool[Tensor, " n"], model: nn.Module, whole: bool = True) -> None:
    """Raise `InputError` where no image of the data has an answer, or some has none since the
    model's weights contain NaN or infinity.

    Args:
        answered: (n,) for which images the model returns an answer.
        model: whose weights are looked at.
        whole: these are all images of the data; of a part, all may be without one.

    >>> check_answered(torch.tensor([False, True]), nn.Identity())
    >>> check_answered(torch.tensor([False]), nn.Identity())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model returns NaN or infinite logits for 1 of 1 images; look
    for overflow, log(0) or 0/0 in the model
    """
    if bool(answered.all()):
        return
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"the model's weights contain NaN or infinity: {name}")
    if whole and not bool(answered.any()):
        raise InputError(
            f"the model returns NaN or infinite logits for {len(answered)} of {len(answered)}"
            " images; look for overflow, log(0) or 0/0 in the model"
        )


def check_logits(logits: Float[Tensor, "n k"], one_logit: bool = False) -> None:
    """Raise `InputError` for a wrong number of logits; warn about probabilities.

    Whether they are an answer is another question; see `check_answered`.

    >>> check_logits(torch.zeros(3, 1))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model returns one logit per image; for a binary model pass
    criterion=BinaryLogit()
    """
    if logits.shape[1] == 1 and not one_logit:
        raise InputError(
            "the model returns one logit per image; for a binary model pass criterion=BinaryLogit()"
        )
    if logits.shape[1] != 1 and one_logit:
        raise InputError(
            f"BinaryLogit needs one logit per image; the model returns {logits.shape[1]}"
        )
    answers = logits[~unanswered(logits)]
    if len(answers) and looks_like_probabilities(answers):
        warnings.warn(
            "the model's outputs are all in [0, 1] and sum to 1: these look like probabilities."
            " Remove the final softmax; attacks on probabilities have vanishing gradients and"
            " report too much robustness.",
            stacklevel=2,
        )


def looks_like_probabilities(logits: Float[Tensor, "n k"]) -> bool:
    """Return whether every row lies in [0, 1] and sums to one.

    >>> looks_like_probabilities(torch.tensor([[0.25, 0.75]]))
    True
    """
    if logits.shape[1] < 2:
        return False
    inside = bool((logits >= 0).all()) and bool((logits <= 1).all())
    return inside and bool((logits.sum(1) - 1).abs().max() < 1e-3)
