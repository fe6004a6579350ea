"""One pass of somebody else's model, that shares nothing with what is kept here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.answers import check_output, model_failed


def apart(
    model: Callable[[Tensor], Any], images: Float[Tensor, "m ..."], dtype: torch.dtype | None = None
) -> tuple[Float[Tensor, "m k"], torch.dtype]:
    """Return the logits (m, k) of `images` (m, …), in float32 at least, in the present gradient
    mode; and the type that the model returned them in.

    The model gets a copy, which it may write into, and gives one away: its buffer may be written
    into again at the next pass. Gradients pass through both.

    Args:
        model: what is called.
        images: left as they are.
        dtype: what the model computes in; None takes the images as they are.

    Raises `InputError` where the model does, and for what are no logits.

    >>> x = torch.tensor([[1.0, -1.0]])
    >>> apart(torch.relu_, x)[0], x
    (tensor([[1., 0.]]), tensor([[ 1., -1.]]))
    """
    inputs = images if dtype is None else images.to(dtype)
    if inputs is images:
        inputs = images.clone()
    if inputs.requires_grad:
        inputs.retain_grad()  # for a model that takes a gradient of its own at its input
    try:
        output = model(inputs)
    except Exception as error:  # it is the user's code: anything may come
        raise model_failed("cannot take", images, error) from error
    check_output(output, len(images))
    logits: Tensor = output if output.dtype == torch.float64 else output.float()
    return (logits.clone() if logits is output else logits), output.dtype
