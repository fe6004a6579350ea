"""The linear maps inside a network: which layers have one, with what weights, on what sizes."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from saddlepoint.answers import model_failed
from saddlepoint.checks import as_pixels
from saddlepoint.errors import InputError
from saddlepoint.model import Guard


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return every convolution (also transposed) and linear layer of a model by name.

    A layer that is used in several places counts once.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    >>> list(weighted_layers(net))
    ['0', '3']
    """
    kinds = (_ConvNd, nn.Linear)
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}


def effective_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weight that each layer of `weighted_layers` acts with.

    Under a parametrisation (quantisation, weight normalisation …) that is its output, as in the
    forward pass: a penalty is about the map that the network applies, and its gradient reaches
    the underlying parameters as the loss's does, through a straight-through estimator too.
    Raises `InputError` for a model without such layers.

    >>> [tuple(weight.shape) for weight in effective_weights(nn.Linear(3, 2)).values()]
    [(2, 3)]
    """
    layers = weighted_layers(model)
    if not layers:
        raise InputError("the model has no convolution or linear layer to regularise")
    return {name: layer.weight for name, layer in layers.items()}  # type: ignore[misc]


def input_shapes(model: nn.Module, images: Float[Tensor, "n ..."]) -> dict[str, tuple[int, ...]]:
    """Return the input shape, without the batch, of every layer that the images pass through.

    One forward pass in evaluation mode that leaves flags, statistics, gradients and random state
    alone. A layer called on several sizes is listed with the largest.
    Raises `InputError` where the model does not take the images.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    >>> input_shapes(net, torch.zeros(1, 1, 4, 4))
    {'0': (1, 4, 4), '2': (8,)}
    """
    found: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Any:
        def note(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = args[0] if args else kwargs["input"]
            dims = 1 if isinstance(layer, nn.Linear) else len(layer.kernel_size) + 1  # type: ignore[arg-type]
            shape = tuple(values.shape[-dims:])
            found[name] = max(found.get(name, shape), shape, key=math.prod)

        return note

    layers = weighted_layers(model)
    handles = [
        layer.register_forward_pre_hook(hook(name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        with Guard(model, len(images)), torch.no_grad():
            model(as_pixels(images).to(next(model.parameters()), copy=True))  # it may write there
    except Exception as error:  # it is the user's code: anything may come
        raise model_failed("cannot take", images, error) from error
    finally:
        for handle in handles:
            handle.remove()
    return found
