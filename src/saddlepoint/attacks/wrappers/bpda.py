"""BPDA: an attack through steps that have no useful gradient, whose backward is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError, unknown


@dataclass(frozen=True, kw_only=True)
class BPDA(Wrapper):
    """An attack whose gradients pass by some modules of the model.

    The forward pass stays what it is; the gradient is that of `surrogate`, by default the identity
    (straight through), which needs the module to keep the shape.

    Args:
        attack: any attack that follows gradients.
        modules: names within the model, as `model.named_modules()` gives them.
        surrogate: a differentiable stand-in for the module, from its input to its output.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> class Rounded(nn.Module):
    ...     def forward(self, x):
    ...         return (x * 8).round() / 8
    >>> net = nn.Sequential(Rounded(), nn.Flatten())
    >>> images, labels = torch.tensor([[0.52, 0.35]]), torch.tensor([0])
    >>> bool(BPDA(PGD(Linf(0.2)), ("0",))(net, images, labels).success)
    True
    """

    modules: tuple[str, ...] = field(kw_only=False)
    surrogate: Callable[[Tensor], Tensor] | None = None

    paper = "Athalye, Carlini and Wagner 2018, arXiv:1802.00420"

    def __post_init__(self) -> None:
        modules: Any = (self.modules,) if isinstance(self.modules, str) else self.modules
        if not isinstance(modules, list | tuple) or not all(isinstance(m, str) for m in modules):
            raise InputError(f"modules is {modules!r}; give names of modules, such as ('0',)")
        object.__setattr__(self, "modules", tuple(modules))
        super().__post_init__()
        if not self.modules:
            raise InputError("name at least one module whose backward is to be replaced")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the attack with the replaced backward."""
        with backward_replaced(batch.guard.model, self.modules, self.surrogate):
            self.attack.perturb(batch, tracker)


@contextlib.contextmanager
def backward_replaced(
    model: nn.Module, modules: tuple[str, ...], surrogate: Callable[[Tensor], Tensor] | None = None
) -> Iterator[None]:
    """Replace the backward of the named modules inside the context; see `BPDA`.

    Raises `InputError` for a name that the model has not, or a surrogate of another shape.

    >>> net = nn.Sequential(nn.Threshold(0.5, 0.0))
    >>> x = torch.tensor([[0.2]], requires_grad=True)
    >>> with backward_replaced(net, ("0",)):
    ...     net(x).sum().backward()
    >>> x.grad
    tensor([[1.]])
    """
    known = dict(model.named_modules())

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
        return _Value.apply(output, stand_in)  # type: ignore[no-any-return]

    with contextlib.ExitStack() as stack:
        for name in modules:
            if name not in known or not name:
                raise unknown("module of the model", name, [each for each in known if each])
            for handle in (
                known[name].register_forward_pre_hook(remembered),
                known[name].register_forward_hook(replaced),
            ):
                stack.callback(handle.remove)
        yield


class _Value(torch.autograd.Function):
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
