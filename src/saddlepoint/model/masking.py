"""Which modules of a model hide the gradient: what they return changes, and no gradient says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.model.generators import own_random_state
from saddlepoint.model.guard import Guard
from saddlepoint.model.stand_in import backward_replaced
from saddlepoint.model.wrapped import bare, plain_modules, uncompiled
from saddlepoint.streams import generator

_PURPOSE = "masking"
# How far the input of a module is moved, as shares of the range of its values: what rounds coarsely
# does not change before it is moved far.
_SHARES = (0.1, 1.0)


def hidden_gradients(
    model: nn.Module, images: Float[Tensor, "n ..."], *, seed: int = 0
) -> tuple[str, ...]:
    """Return the names of the modules that hide the gradient, in the order of `named_modules` and
    without those of `torch.compile` and `DataParallel`.

    A module is looked at where its first input and its output are tensors of one shape, so that the
    identity can stand in for it (`BPDA`). It is run alone on what it got of the images, and on that
    moved: it hides the gradient where its output changes and every vector-Jacobian product is 0,
    does not exist or cannot be computed. Rounding does, and a step through numpy; a ReLU that is
    off, dropout and constants do not.

    Of modules inside each other the inner one is named, as long as its stand-in lets a gradient
    through the outer one, and else the outer one alone.

    Modules that do not return the same twice, and what is inside scripted models or outside
    any module, are not seen.

    Args:
        model: from images to logits; it comes out as it went in.
        images: a few of them.
        seed: of the draws.

    Raises `InputError` where the model cannot take the images.

    >>> class Rounded(nn.Module):
    ...     def forward(self, x):
    ...         return (x * 8).round() / 8
    >>> net = nn.Sequential(Rounded(), nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    >>> hidden_gradients(net, torch.rand(3, 1, 2, 2))
    ('0',)
    """
    found: list[str] = []
    model = bare(model)  # the hooks would see replicas on other devices, which have no names
    with uncompiled(model), Guard(model, len(images), seed=seed) as guard, torch.no_grad():
        with _watched(model) as calls:
            guard.call(images.to(guard.device))
        for name, call in reversed(calls.items()):  # what is inside comes before what it is in
            inner = tuple(each for each in found if each.startswith(f"{name}."))
            with backward_replaced(model, inner):
                if call.hides(seed):
                    found = [each for each in found if each not in inner] + [name]
    return tuple(name for name in calls if name in found)


@dataclass(frozen=True)
class _Call:
    """How a module was called first: its input, and whatever else it was given."""

    module: nn.Module
    x: Tensor
    rest: tuple[Any, ...]
    named: dict[str, Any]

    def hides(self, seed: int) -> bool:
        """Return whether the output changes with the input and no gradient says so."""
        try:
            value = self._run(self.x, seed)
            if not torch.equal(value, self._run(self.x, seed)):
                return False
        except Exception:  # it is the user's code: anything may come, such as a lack of state
            return False
        changes = False
        for share in (0.0, *_SHARES):
            try:
                there = self._moved(share, seed)
                changes |= not torch.equal(self._run(there, seed), value)
            except Exception:  # such an input it does not take
                continue
            if self._has_gradient(there, seed):
                return False
        return changes

    def _run(self, x: Tensor, seed: int) -> Tensor:
        """Return the output; the module draws the same numbers each time, and may write into `x`."""
        with own_random_state(x.device, seed, self.module):
            output: Tensor = self.module(x.clone(), *self.rest, **self.named)
        return output

    def _moved(self, share: float, seed: int) -> Tensor:
        """Return the input, so far on the way to numbers drawn between its least and greatest."""
        low, high = self.x.aminmax()
        drawn = torch.rand(self.x.shape, generator=generator(seed, _PURPOSE, "input"))
        return self.x + share * (low + (high - low) * drawn.to(self.x) - self.x)

    def _has_gradient(self, x: Tensor, seed: int) -> bool:
        """Return whether a vector-Jacobian product at `x` is there and not 0."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            try:
                output = self._run(x, seed)
                drawn = torch.randn(output.shape, generator=generator(seed, _PURPOSE, "cotangent"))
                if not output.requires_grad:
                    return False
                gradient = torch.autograd.grad(output, x, drawn.to(output), allow_unused=True)[0]
            except Exception:  # a pass with a graph or a backward that fails has none
                return False
        return gradient is not None and bool((gradient != 0).any())


@contextlib.contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, _Call]]:
    """Fill a mapping, in the order of `named_modules`, with the first call of each module that keeps
    the shape of its first input.
    """
    names = {module: name for name, module in plain_modules(model).items()}
    calls: dict[str, _Call] = {}
    begun: dict[nn.Module, list[_Call | None]] = {module: [] for module in names}
    first: dict[nn.Module, _Call] = {}

    def before(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        x = inputs[0] if inputs else None
        call = None
        if isinstance(x, Tensor) and x.is_floating_point() and module not in first:
            # A copy: a module may write its result in the place of what it got.
            call = _Call(module, x.detach().clone(), inputs[1:], named)
        begun[module].append(call)

    def after(module: nn.Module, inputs: object, output: object) -> None:
        call = begun[module].pop()
        if call is not None and isinstance(output, Tensor) and output.shape == call.x.shape:
            first.setdefault(module, call)

    with contextlib.ExitStack() as stack:
        for module in names:
            for handle in (
                module.register_forward_pre_hook(before, with_kwargs=True),
                module.register_forward_hook(after),
            ):
                stack.callback(handle.remove)
        yield calls
    calls.update({name: first[module] for module, name in names.items() if module in first})
