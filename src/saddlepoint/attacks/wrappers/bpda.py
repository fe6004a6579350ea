"""BPDA: an attack through steps that have no useful gradient, whose backward is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.model import backward_replaced


@dataclass(frozen=True, kw_only=True)
class BPDA(Wrapper):
    """An attack whose gradients pass by some modules of the model.

    The forward pass stays what it is; the gradient is that of `surrogate`, by default the identity
    (straight through), which needs the module to keep the shape.

    Args:
        attack: any attack that follows gradients.
        modules: names within the model, as `model.named_modules()` gives them, also without those of
            `torch.compile` and `DataParallel` before them.
        surrogate: a differentiable stand-in for the module, from its input to its output.

    >>> import torch
    >>> from torch import nn
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
