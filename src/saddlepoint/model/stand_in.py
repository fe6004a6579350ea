"""Values with the gradient of something else: of one tensor, or of the modules of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor, autograd, nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.model.wrapped import plain_modules, uncompiled


def with_gradient_of(
    value: Float[Tensor, "*shape"], stand_in: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return a copy of `value` through which a gradient goes on to `stand_in`.

    >>> import torch
    >>> x = torch.tensor([0.7], requires_grad=True)
    >>> y = with_gradient_of(x.round(), 3 * x)
    >>> y.detach(), torch.autograd.grad(y, x)
    (tensor([1.]), (tensor([3.]),))
    """
    # Detached: of some functions, such as floor_divide, autograd refuses the backward.
    return _Value.apply(value.detach(), stand_in)  # type: ignore[no-any-return]


@contextlib.contextmanager
def backward_replaced(
    model: nn.Module, modules: tuple[str, ...], surrogate: Callable[[Tensor], Tensor] | None = None
) -> Iterator[None]:
    """Replace the backward of the named modules inside the context; it becomes that of `surrogate`, by
    default of the identity.

    Names are those of `named_modules`, with or without those that `torch.compile` and `DataParallel`
    put before them. Raises `InputError` for a name that the model has not, or a surrogate of another
    shape.

    >>> import torch
    >>> net = nn.Sequential(nn.Threshold(0.5, 0.0))
    >>> x = torch.tensor([[0.2]], requires_grad=True)
    >>> with backward_replaced(net, ("0",)):
    ...     net(x).sum().backward()
    >>> x.grad
    tensor([[1.]])
    """
    known = {**plain_modules(model), **dict(model.named_modules())}
    before: dict[nn.Module, Tensor] = {}

    def remembered(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        # An in-place module overwrites what it is given.
        before[module] = inputs[0].clone()

    def replaced(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        given = before.pop(module)
        stand_in = given if surrogate is None else surrogate(given)
        if stand_in.shape != output.shape:
            raise InputError(
                f"the stand-in gives shape {tuple(stand_in.shape)}, the module"
                f" {type(module).__name__} {tuple(output.shape)}; give a surrogate of that shape"
            )
        return with_gradient_of(output, stand_in)

    with contextlib.ExitStack() as stack:
        for name in modules:
            if name not in known or not name:
                raise unknown("module of the model", name, [each for each in known if each])
            for handle in (
                known[name].register_forward_pre_hook(remembered),
                known[name].register_forward_hook(replaced),
            ):
                stack.callback(handle.remove)
        stack.enter_context(uncompiled(model))
        yield


class _Value(autograd.Function):
    """The value of the first argument with the gradient of the second."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, stand_in: Tensor) -> Tensor:
        """Return the value."""
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Remember nothing."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, Tensor]:
        """Pass the gradient on to the stand-in."""
        return None, gradients[0]
