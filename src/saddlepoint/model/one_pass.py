"""One pass of somebody else's model, that shares nothing with what is kept here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.answers import check_output, model_failed
from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.model.fixed_batch import in_batches
from saddlepoint.progress import passed

_FIXED = re.compile(r"Guard failed: \w+\.size\(\)\[0\] == ([0-9]+)")


def apart(
    model: Callable[[Tensor], Any],
    images: Float[Tensor, "m ..."],
    dtype: torch.dtype | None = None,
    size: int | None = None,
) -> tuple[Float[Tensor, "m k"], torch.dtype]:
    """Return the logits (m, k) of `images` (m, …), in float32 at least, in the present gradient
    mode; and the type that the model returned them in.

    The model gets a copy, which it may write into, and gives one away: its buffer may be written
    into again at the next pass. Gradients pass through both.

    Args:
        model: what is called.
        images: left as they are; 8-bit ones are seen in [0, 1].
        dtype: what the model computes in; None takes the images as they are.
        size: how many images the model takes at a time; None is any number.

    Raises `InputError` where the model does, and for what are no logits.

    >>> x = torch.tensor([[1.0, -1.0]])
    >>> apart(torch.relu_, x)[0], x
    (tensor([[1., 0.]]), tensor([[ 1., -1.]]))
    """
    images = as_pixels(images)
    inputs = images if dtype is None else images.to(dtype)
    if inputs is images:
        inputs = images.clone()
    if inputs.requires_grad:
        inputs.retain_grad()  # for a model that takes a gradient of its own at its input

    whole = len(images) if size is None else size

    def run(batch: Tensor) -> Tensor:
        try:
            output: Tensor = model(batch)
        except Exception as error:  # it is the user's code: anything may come
            raise _failed(images, error) from error
        check_output(output, len(batch))
        if len(images) != whole:
            passed(0)  # of a batch of fixed size there are several
        return output

    output = run(inputs) if len(images) == whole else in_batches(run, inputs, whole)
    passed(len(images))
    logits: Tensor = output if output.dtype == torch.float64 else output.float()
    return (logits.clone() if logits is output else logits), output.dtype


def _failed(images: Tensor, error: Exception) -> Exception:
    text = str(error)
    if fixed := _FIXED.match(text):
        return InputError(
            f"the model was exported for batches of {fixed[1]} images; export it with a dynamic"
            " first axis"
        )
    if isinstance(error, RuntimeError) and "not require grad" in text:
        return InputError(
            "the model takes a gradient of its own in its forward, but inside an attack its"
            " parameters are frozen:\ntake it of clones, p.detach().clone().requires_grad_(), under"
            f" torch.enable_grad() ({text.splitlines()[0]})"
        )
    return model_failed("cannot take", images, error)
