"""Random self-ensemble: noise before every block of convolutions, and an average over passes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.answers import check_output
from saddlepoint.configuration import identified
from saddlepoint.counts import check_count
from saddlepoint.defences.ensemble import Average, averaged
from saddlepoint.errors import InputError
from saddlepoint.model import RandomLayer
from saddlepoint.option_values import NonNegative, check_value
from saddlepoint.zoo import ConvBlock


@identified("saddlepoint.defences.self_ensemble.random_self_ensemble")
def random_self_ensemble(
    model: nn.Module,
    sigma_first: float = 0.2,
    sigma_inner: float = 0.1,
    samples: int = 5,
    average: Average = "logits",
    before: str | Sequence[str] | None = None,
) -> RandomSelfEnsemble:
    """Return the model with noise N(0, σ²) before its blocks, in training and at inference.

    Noise goes before every `ConvBlock`, in a model without any before every `nn.Conv2d`, or before
    the modules that `before` names; of nested ones only before the outermost. That is behind the
    model's `Normalised` layer: the standard deviations are in normalised units. In training a call is one
    pass; in evaluation it is the average of `samples` passes with independent noise, through which
    an attack differentiates. With both standard deviations 0 it is exactly the model. The model itself is
    the result's `net`, shares its weights, and is still without noise when called directly.

    Args:
        model: from images in [0, 1] to logits.
        sigma_first: the standard deviation before the first block, in the order of `named_modules`.
        sigma_inner: the standard deviation before each other block.
        samples: passes averaged in evaluation.
        average: "logits", the mean of the outputs (nine-defences report, Algorithm 5), or
            "probabilities", the logarithm of the mean softmax (the paper's).
        before: patterns of `named_modules` names, as of files (`net.layer?.*.conv1`).

    Raises `InputError` for a standard deviation that is negative or not finite, fewer than one pass, nothing
    to put noise before, and a model that is a random self-ensemble already.

    Reference: Liu, Cheng, Zhang and Hsieh 2018, arXiv:1712.00673.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("simple-cnn", classes=10, shape=(1, 8, 8))
    >>> random_self_ensemble(net).sigmas
    {'blocks.block1': 0.2, 'blocks.block2': 0.1, 'blocks.block3': 0.1}
    """
    for name, sigma in (("sigma_first", sigma_first), ("sigma_inner", sigma_inner)):
        check_value(name, sigma, NonNegative)
    check_count("samples", samples)
    check_value("average", average, Average)
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}; give a torch.nn.Module")
    if any(isinstance(module, RandomSelfEnsemble) for module in model.modules()):
        raise InputError(
            "the model is a random self-ensemble already; call remove_self_ensemble first"
        )
    names = _blocks(model, before)
    sigmas = {name: float(sigma_inner if i else sigma_first) for i, name in enumerate(names)}
    return RandomSelfEnsemble(model, sigmas, samples, average).train(model.training)


def remove_self_ensemble(model: nn.Module) -> nn.Module:
    """Return the model without the noise that `random_self_ensemble` added, wherever in it.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    >>> remove_self_ensemble(random_self_ensemble(net)) is net
    True
    """
    if isinstance(model, RandomSelfEnsemble):
        return model.net
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RandomSelfEnsemble):
                parent.add_module(name, child.net)
    return model


class RandomSelfEnsemble(nn.Module):
    """A network `net` with noise before its blocks; `random_self_ensemble` builds it.

    The keys of its state are those of the network behind `net.`: noise has no state.

    Attributes:
        sigmas: the standard deviation of the noise before each block, by the block's name in `net`.
        noise: the layers that draw it, in the same order.
        samples, average: of a call in evaluation.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    >>> list(RandomSelfEnsemble(net, {"0": 0.2}, 5, "logits").state_dict())
    ['net.0.weight', 'net.0.bias']
    """

    def __init__(
        self, net: nn.Module, sigmas: Mapping[str, float], samples: int, average: Average
    ) -> None:
        super().__init__()
        self.net, self.sigmas, self.samples, self.average = net, dict(sigmas), samples, average
        self.noise = nn.ModuleList(GaussianNoise(sigma) for sigma in self.sigmas.values())

    @property
    def averaged_passes(self) -> int:
        """The passes of a call in evaluation; where no noise is added one is enough."""
        return self.samples if any(self.sigmas.values()) else 1

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the logits of one pass in training, the averaged ones in evaluation."""
        with self._noisy():
            if self.training or self.averaged_passes == 1:
                logits: Tensor = self.net(images)
                return logits
            outputs = [self.net(images) for _ in range(self.samples)]
        for output in outputs:
            check_output(output, len(images))
        return averaged(outputs, self.average)

    @contextlib.contextmanager
    def _noisy(self) -> Iterator[None]:
        """Hang the noise before the blocks, found by name: they may have been replaced since."""
        with contextlib.ExitStack() as stack:
            for name, noise in zip(self.sigmas, self.noise, strict=True):
                block = self.net.get_submodule(name)
                # In front of other hooks, which are to see what the block really gets.
                handle = block.register_forward_pre_hook(_before(noise), prepend=True)
                stack.callback(handle.remove)
            yield

    def extra_repr(self) -> str:
        """Name the settings where the model is printed."""
        return f"samples={self.samples}, average={self.average}, before={', '.join(self.sigmas)}"


class GaussianNoise(RandomLayer):
    """Adds noise of N(0, σ²) to every element, in training and at inference; σ = 0 is silent.

    >>> import torch
    >>> layer = GaussianNoise(0.5)
    >>> abs(float(layer(torch.zeros(10_000)).std()) - 0.5) < 0.05, layer.is_random
    (True, True)
    >>> GaussianNoise(0.0).is_random
    False
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.is_random = sigma > 0

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return x + σ·ξ, ξ ~ N(0, 1)."""
        return x + self.sigma * self.noise(x) if self.is_random else x

    def extra_repr(self) -> str:
        """Name the standard deviation where the model is printed."""
        return f"sigma={self.sigma:g}"


def _before(noise: nn.Module) -> Any:
    def add(block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if not inputs:
            raise InputError(
                f"a {type(block).__name__} gets its input by keyword; noise is added to the first"
                " positional one: change the call, or choose other blocks with before"
            )
        return (noise(inputs[0]), *inputs[1:])

    return add


def _blocks(model: nn.Module, before: str | Sequence[str] | None) -> list[str]:
    """Return the names of the modules to put noise before, outermost ones only."""
    named = [(name, module) for name, module in model.named_modules() if name]
    if before is None:
        kind = ConvBlock if any(isinstance(m, ConvBlock) for _, m in named) else nn.Conv2d
        found = [name for name, module in named if isinstance(module, kind)]
        if not found:
            raise InputError(
                "the model has no nn.Conv2d to put noise before; name its blocks in `before`"
            )
    else:
        patterns = [before] if isinstance(before, str) else list(before)
        if not patterns:
            raise InputError("before is empty; name at least one module, or leave it out")
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name, _ in named):
                some = ", ".join(name for name, _ in named[:3])
                raise InputError(
                    f"before: no module of the model is named '{pattern}'; its names are {some} …"
                )
        found = [name for name, _ in named if any(fnmatchcase(name, p) for p in patterns)]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]
