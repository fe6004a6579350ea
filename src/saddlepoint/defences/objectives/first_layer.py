"""The first layer f_0 of a network, run alone and cut from the rest: what YOPO goes back and forth in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.defences.objectives.ascent import Ascent
from saddlepoint.defences.weights import weighted_layers
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Guard
from saddlepoint.objectives.contract import TrainingBatch
from saddlepoint.objectives.passes import Mode, still

_LISTED = 12  # candidates that an error names


class _Reached(Exception):  # noqa: N818 - no error: the pass ends here
    def __init__(self, output: Tensor) -> None:
        super().__init__("the first layer's output is there")
        self.output = output


class FirstLayer:
    """f_0 of a network: all that comes before the output of one of its modules.

    Args:
        model: the network f = g ∘ f_0.
        name: of the module whose output is f_0's, or the end of it that is like no other's; None
            finds the first convolution or linear layer that the images pass through, in any network.
        images: (n, ...) a few, to look where they pass.
        mode: of the passes that are to come.

    Raises `InputError` for a name that does not exist, a module that holds the whole network, one
    that the images do not pass through exactly once, and a network in which they reach the logits by
    another way too.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> f0 = FirstLayer(net, None, torch.rand(2, 1, 2, 2))
    >>> f0.name, f0(net, torch.rand(2, 1, 2, 2)).shape
    ('1', torch.Size([2, 3]))
    >>> FirstLayer(net, "conv1", torch.rand(2, 1, 2, 2))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown first layer 'conv1'; (known: 1, 3)
    """

    name: str

    def __init__(
        self,
        model: nn.Module,
        name: str | None,
        images: Float[Tensor, "n ..."],
        mode: Mode = "train",
    ) -> None:
        passes = _passes(model, images, mode)
        layers = [each for each in weighted_layers(model) if passes.get(each)]
        if name is None:
            if not layers:
                raise InputError(
                    "the network has no convolution or linear layer to take for its first; name one"
                    " with first_layer"
                )
            name = min(layers, key=list(passes).index)
        self.name = name = _found(model, name, layers)
        self._check(model, images, mode, passes, layers)

    def module(self, model: nn.Module) -> nn.Module:
        """Return the module at whose output f_0 ends."""
        return model.get_submodule(self.name)

    def __call__(self, model: nn.Module, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return f_0(x); the rest of the network is not run."""

        def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        handle = self.module(model).register_forward_hook(stop)
        try:
            model(images)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise InputError(f"the images did not pass through {self.name}")

    @contextlib.contextmanager
    def cut(self, model: nn.Module) -> Iterator[list[Tensor]]:
        """Cut the graph behind f_0 in the passes of the block: yield a list that gets f_0's output,
        with the graph to the images, and the leaf that the rest of the network starts from.
        """
        ends: list[Tensor] = []

        def part(module: nn.Module, inputs: Any, output: Any) -> Any:
            ends.append(output)
            if not isinstance(output, Tensor):  # which `_check` refuses
                return output
            ends.append(output.detach().requires_grad_())
            return ends[1].clone()  # which the next layer may write into

        handle = self.module(model).register_forward_hook(part)
        try:
            yield ends
        finally:
            handle.remove()

    def _check(
        self,
        model: nn.Module,
        images: Tensor,
        mode: Mode,
        passes: dict[str, int],
        layers: list[str],
    ) -> None:
        named, times = f"the first layer {self.name!r}", passes.get(self.name, 0)
        others = ", ".join(each for each in layers if each != self.name) or "none"
        if times > 1 and all(passes.get(each, 0) > 1 for each in layers):
            raise InputError(
                f"the images pass through every layer {times} times in {mode} mode, so that none is"
                " the first; train it by an objective that needs none, such as trades"
            )
        if times != 1:
            raise InputError(
                f"the images pass through {named} {times} times, not once; name another (candidates:"
                f" {others})"
            )
        if not _weights_behind(model, self.name, passes):
            parts = [each for each in layers if each != self.name]
            remedy = (
                f"name a part of it, such as {parts[0]}"
                if parts
                else "it has no other layer with weights, and two are needed"
            )
            raise InputError(f"{named} holds the whole network; {remedy}")
        with Guard(model, len(images), mode=mode), torch.enable_grad():
            x = images.to(next(model.parameters()), copy=True).requires_grad_()
            with self.cut(model) as ends:
                logits = model(x)
            if not isinstance(ends[0], Tensor):
                raise InputError(f"{named} returns no tensor; name another (candidates: {others})")
            if logits.grad_fn is None or not _reaches(logits, ends[1]):
                raise InputError(f"the logits do not come from {named}; name another ({others})")
            if _reaches(logits, x):
                raise InputError(
                    f"the images reach the logits past {named} too; name a layer that all of them"
                    " pass through"
                )


def _found(model: nn.Module, name: str, layers: list[str]) -> str:
    """Return the whole name of a module: a network may stand within a normalisation."""
    names: list[str] = [each for each, _ in model.named_modules() if each]
    if name in names:
        return name
    ends = [each for each in names if each.endswith(f".{name}")]
    if len(ends) != 1 or not name:
        raise unknown("first layer", name, layers[:_LISTED])
    return ends[0]


def _passes(model: nn.Module, images: Tensor, mode: Mode) -> dict[str, int]:
    """Return how often the images pass through every module, in the order in which they are done."""
    counts: dict[str, int] = {}
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        counts[names[module]] = counts.get(names[module], 0) + 1

    handles = [module.register_forward_hook(note) for module in names]
    try:
        with Guard(model, len(images), mode=mode) as guard, torch.no_grad():
            guard.call(images)
    finally:
        for handle in handles:
            handle.remove()
    return counts


def _weights_behind(model: nn.Module, name: str, passes: dict[str, int]) -> bool:
    """Return whether a module with weights of its own is done after another, or done again."""
    modules, order = dict(model.named_modules()), list(passes)
    behind = order[order.index(name) + 1 :] + [each for each in order if passes[each] > 1]
    return any(any(True for _ in modules[each].parameters(recurse=False)) for each in behind)


def _reaches(output: Tensor, source: Tensor) -> bool:
    """Return whether the graph of an output leads to a leaf."""
    (gradient,) = torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)
    return gradient is not None


def climb(
    first: FirstLayer,
    model: nn.Module,
    batch: TrainingBatch,
    ascent: Ascent,
    w: Float[Tensor, "n ..."],
    p: Float[Tensor, "n ..."],
    steps: int,
    z: Float[Tensor, "n ..."] | None = None,
    bounds: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, "n ..."]:
    """Return the parameters after steps up ⟨p, f_0⟩, which run nothing but f_0.

    Args:
        first: f_0.
        ascent: the step on the images of the batch.
        w: parameters of the threat model, to begin with.
        p: the loss's gradient in f_0's output, held.
        z: f_0's output at `w` with its graph, where there is one: it saves the first pass.
        bounds: of the range that images are clamped to before f_0, as the reference implementation
            does; a pixel outside then gets no gradient.

    >>> from saddlepoint.threat import Linf
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    >>> x = torch.rand(1, 2)
    >>> batch = TrainingBatch(x, torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> w = climb(
    ...     FirstLayer(net, None, x), net, batch, Ascent(Linf(0.1), x, None, 0.25), x, torch.ones(1, 3), 4
    ... )
    >>> bool(((w - x).abs() <= 0.1).all())
    True
    """
    for _ in range(steps):
        if z is None:
            w = w.detach().requires_grad_()
            x = ascent.threat.render(batch.images, w)
            if bounds is not None:
                # On the bounds the clamp of the reference's torch let gradients pass; today's is flat.
                inside = (x >= bounds[0]) & (x <= bounds[1])
                x = torch.where(inside, x, x.detach().clamp(*bounds))
            with still(model), batch.autocast():
                z = first(model, x)
        (gradient,) = torch.autograd.grad(z, w, p.to(z.dtype), retain_graph=False)
        w = ascent(w.detach(), gradient)
        z = None
    return w
