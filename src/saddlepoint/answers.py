"""Checks of what a model returns, or raises. Each error names what was seen and the fix."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError


def check_output(output: object, count: int) -> None:
    """Raise `InputError` unless a model's output is one tensor of logits (n, k).

    >>> check_output((torch.zeros(1, 2), None), 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model returns a tuple; wrap it so that it returns the logits
    alone
    """
    if not isinstance(output, Tensor):
        raise InputError(
            f"the model returns a {type(output).__name__}; wrap it so that it returns the logits alone"
        )
    if output.ndim != 2 or len(output) != count:
        raise InputError(
            f"the model returns shape {tuple(output.shape)} for {count} images;"
            f" logits have shape ({count}, classes)"
        )
    if not output.is_floating_point():
        raise InputError(f"the model returns {output.dtype}; logits are floats")


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


def check_logits(logits: Float[Tensor, "n k"], model: nn.Module, one_logit: bool = False) -> None:
    """Raise `InputError` for NaN logits or a wrong number of them; warn about probabilities.

    >>> check_logits(torch.tensor([[float("nan"), 0.0]]), nn.Identity())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model returns NaN or infinite logits for 1 of 1 images
    """
    if logits.shape[1] == 1 and not one_logit:
        raise InputError(
            "the model returns one logit per image; for a binary model pass criterion=BinaryLogit()"
        )
    if logits.shape[1] != 1 and one_logit:
        raise InputError(
            f"BinaryLogit needs one logit per image; the model returns {logits.shape[1]}"
        )
    bad = (logits.isnan() | (logits == float("inf"))).any(1)
    if bool(bad.any()):
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise InputError(f"the model's weights contain NaN or infinity: {name}")
        raise InputError(
            f"the model returns NaN or infinite logits for {int(bad.sum())} of {len(bad)} images"
        )
    if looks_like_probabilities(logits):
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
