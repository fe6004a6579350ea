"""Gradients of what a model returned, for every kind of graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.progress import passed

Objective = Callable[[Tensor], Tensor]
"""From logits (m, k) to the number that each sample ascends (m,)."""
Render = Callable[[Tensor], Tensor]
"""From an attack's parameters to images, differentiably."""
Cotangents = Callable[[Tensor], Tensor]
"""From logits (m, K) to k cotangents of each sample (m, k, K)."""

# On a CPU more rows than this at once leave its caches, and one cotangent after the other is faster.
# On CUDA many at once are faster, but all of a thousand classes would take gigabytes.
_ROWS_AT_ONCE, _ROWS_ON_CUDA = 64, 1024


def gradient_of(value: Tensor, x: Tensor, *, by_backward: bool = False) -> Tensor | None:
    """Return the gradient of the scalar `value` with respect to the leaf `x`; None where it does
    not depend on it.

    Args:
        by_backward: take it from `x.grad`, for graphs that know no other way (reentrant
            checkpoints).

    >>> x = torch.ones(2, requires_grad=True)
    >>> gradient_of(x.square().sum(), x), gradient_of(torch.ones(1), x)
    (tensor([2., 2.]), None)
    """
    if not value.requires_grad:
        return None
    if not by_backward:
        return torch.autograd.grad(value, x, allow_unused=True)[0]
    x.grad = None  # a model may take gradients of its own
    value.backward()  # type: ignore[no-untyped-call]
    found, x.grad = x.grad, None
    return found


def products(
    logits: Float[Tensor, "m K"],
    x: Tensor,
    cotangents: Float[Tensor, "k m K"],
    again: Callable[[], Float[Tensor, "m K"]],
) -> Tensor | None:
    """Return the vector-Jacobian products (k, m, …) of the cotangents; None where the logits do not
    depend on `x`.

    Args:
        logits: of a pass; its graph is used up.
        x: the leaf that they come from.
        cotangents: the weightings of the logits.
        again: runs another pass, for graphs that can be gone back through only once.

    >>> x = torch.ones(1, 2, requires_grad=True)
    >>> products(3 * x, x, torch.eye(2)[:, None], lambda: 3 * x)[:, 0]
    tensor([[3., 0.],
            [0., 3.]])
    """
    if not logits.requires_grad:
        return None
    at_once = max(1, (_ROWS_ON_CUDA if x.is_cuda else _ROWS_AT_ONCE) // max(len(x), 1))
    try:
        found = []
        for some in torch.split(cotangents, at_once):
            found.append(_together(logits, x, some))
            passed(0)
    except RuntimeError as error:
        # What torch.compile made of a backward writes over what it needs; it says so beforehand.
        if "donated buffer" not in str(error):
            raise
        found = []
        for v in cotangents:
            part = torch.autograd.grad(logits if not found else again(), x, v, allow_unused=True)
            found.append(None if part[0] is None else part[0][None])
    rows = [part for part in found if part is not None]
    return torch.cat(rows) if len(rows) == len(found) else None


def _together(logits: Tensor, x: Tensor, cotangents: Tensor) -> Tensor | None:
    if len(cotangents) > 1:
        try:
            return torch.autograd.grad(
                logits, x, cotangents, is_grads_batched=True, retain_graph=True, allow_unused=True
            )[0]
        except RuntimeError:  # a backward that vmap does not know: one product after the other
            pass
    each = [_product(logits, x, v) for v in cotangents]
    found = [p for p in each if p is not None]
    return torch.stack(found) if len(found) == len(each) else None


def _product(logits: Tensor, x: Tensor, cotangent: Tensor) -> Tensor | None:
    try:
        return torch.autograd.grad(logits, x, cotangent, retain_graph=True, allow_unused=True)[0]
    except RuntimeError as error:
        if not is_reentrant(error):
            raise
    x.grad = None
    logits.backward(cotangent, retain_graph=True)  # type: ignore[no-untyped-call]
    found, x.grad = x.grad, None
    return found


def is_reentrant(error: Exception) -> bool:
    """Return whether a backward failed because a checkpoint of the older kind takes `.backward()` only.

    >>> is_reentrant(RuntimeError("Checkpointing is not compatible with .grad() or when inputs"))
    True
    """
    return "checkpoint" in str(error).lower() and ".grad()" in str(error)


def no_gradient() -> InputError:
    """Return the error of a model through which no gradient flows.

    >>> "gradient-free" in str(no_gradient())
    True
    """
    return InputError(
        "the model's output does not depend on the image by differentiable steps;"
        " use a gradient-free attack, or remove .detach(), no_grad and rounding from its forward"
    )
