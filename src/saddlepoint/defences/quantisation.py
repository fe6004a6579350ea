"""Simulated quantisation of a whole model: its weights and its ReLUs, and the way back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from saddlepoint.answers import model_failed
from saddlepoint.checks import as_pixels
from saddlepoint.configuration import identified
from saddlepoint.defences.activation_base import subsample
from saddlepoint.defences.activations import (
    ACTIVATIONS,
    DTReLU,
    QuantisedActivation,
)
from saddlepoint.defences.levels import check_bits, fake_quantise
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Guard, device_of
from saddlepoint.option_values import check_value

__all__ = ["QuantisedWeight", "calibrate", "fake_quantise", "quantise", "unquantise"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_RECTIFIERS = (nn.ReLU, nn.ReLU6)


class QuantisedWeight(nn.Module):
    """A parametrisation that quantises a weight at every use, by Algorithm 2 on its own extremes.

    Args:
        bits: N.
        channel_axis: see `fake_quantise`; None is one range for the whole tensor.

    >>> QuantisedWeight(bits=1)(torch.tensor([-1.0, 0.2, 1.0]))
    tensor([-1.,  1.,  1.])
    """

    def __init__(self, bits: int, channel_axis: int | None = None) -> None:
        super().__init__()
        self.bits, self.channel_axis = bits, channel_axis

    def forward(self, weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the weight on its levels; the gradient passes as it is."""
        return fake_quantise(weight, self.bits, channel_axis=self.channel_axis)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"bits={self.bits}, channel_axis={self.channel_axis}"


@identified("saddlepoint.defences.quantisation.quantise")
def quantise(
    model: nn.Module,
    weight_bits: int | None = 4,
    activation_bits: int | None = 4,
    activation: str = "dtrelu",
    per_channel: bool = False,
    gradient: Literal["report", "lsq"] = "report",
) -> nn.Module:
    """Quantise the weights and the activations of `model`, in place, and return it.

    The weights of all convolutions and linear layers go through `fake_quantise` at every forward;
    biases stay, and so do weights outside such layers (the input projection of
    `nn.MultiheadAttention`). Every `nn.ReLU` and `nn.ReLU6` module becomes a quantised activation;
    relus called as functions inside a `forward` cannot be reached. `calibrate` then fits the
    activations to data; before it they are on [0, 6]. In the state dict a quantised `weight` is
    `parametrizations.weight.original`, in full precision. Optimisers are to be built afterwards,
    since activations bring parameters of their own.

    Args:
        model: any module; `unquantise` undoes it.
        weight_bits, activation_bits: from 1 to 16; None leaves that part alone.
        activation: a name in `ACTIVATIONS`.
        per_channel: a range per output channel of each weight, not one for the whole; of a
            transposed convolution with groups, one for each position within the groups.
        gradient: of the bounds of "dtrelu"; the other activations have only one.

    Raises `InputError` for a model that is quantised already, weights that are parametrised
    otherwise (spectral_norm, weight_norm …) or not initialised yet, and where nothing at all can be
    quantised; the model is then unchanged. Warns where only one of the two parts is found.
    Quantised models are copied by `copy.deepcopy` and saved by their state dict, not pickled.

    >>> net = quantise(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), weight_bits=1)
    >>> len(net[0].weight.unique()), net[1]
    (2, DTReLU(bits=4, gradient=report))
    >>> net = quantise(net)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model is quantised already; use unquantise(model) first
    """
    for name, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
        if bits is not None:
            check_bits(bits, name)
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    check_value("gradient", gradient, Literal["report", "lsq"])
    if weight_bits is None and activation_bits is None:
        raise InputError("weight_bits and activation_bits are both None; give at least one")
    if any(_quantised_weights(model)) or any(_replacements(model)):
        raise InputError("the model is quantised already; use unquantise(model) first")
    layers = {n: m for n, m in model.named_modules() if isinstance(m, _WEIGHTED)}
    rectifiers = [m for m in model.modules() if isinstance(m, _RECTIFIERS) and m is not model]
    _check_found(weight_bits, layers, activation_bits, rectifiers)

    if weight_bits is not None:
        for layer in layers.values():
            axis = (1 if isinstance(layer, _TRANSPOSED) else 0) if per_channel else None
            parametrize.register_parametrization(
                layer, "weight", QuantisedWeight(weight_bits, axis)
            )
    if activation_bits is not None:
        anchor = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        built: dict[nn.Module, nn.Module] = {}  # a ReLU used twice stays one module
        for rectifier in rectifiers:
            new = (
                DTReLU(activation_bits, gradient)
                if activation == "dtrelu"
                else ACTIVATIONS[activation](activation_bits)
            )
            new.replaced = (rectifier,)
            built[rectifier] = new.to(anchor.device, anchor.dtype).train(rectifier.training)
        _swap(model, built)
    return model


def unquantise(model: nn.Module) -> nn.Module:
    """Undo `quantise`, in place, and return the model.

    The full-precision parameters and the ReLUs come back as the objects they were; what training
    made of the former stays. Activations that the model had of its own are left alone. Raises
    `InputError` where there is nothing to undo.

    >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    >>> unquantise(quantise(net))
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): ReLU()
    )
    """
    layers, activations = list(_quantised_weights(model)), list(_replacements(model))
    if not layers and not activations:
        raise InputError("the model is not quantised; there is nothing to undo")
    for layer in layers:
        # torch deletes the property from the layer's class, which copies of the layer share.
        own = type(layer)
        layer.__class__ = type(own.__name__, own.__bases__, dict(vars(own)))
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        parameters = layer._parameters
        for name in [name for name in parameters if name != "weight"]:
            parameters[name] = parameters.pop(name)  # the weight was first, and is again
    for activation in activations:
        activation.replaced[0].train(activation.training)
    _swap(model, {each: each.replaced[0] for each in activations})
    return model


@torch.no_grad()
def calibrate(model: nn.Module, images: Float[Tensor, "n ..."]) -> None:
    """Fit every quantised activation of `model` to what reaches it, in one forward of `images`.

    Each gets the range [0, the 99.9th percentile of ReLU(x)] before it computes, so that a layer
    sees what the calibrated layers before it give. One that is used several times gets the
    percentile over all its inputs. The model runs in the mode that it is in: call it in train mode
    before a training, which will see the statistics of batches. Training flags, BatchNorm
    statistics, gradients and random state are left as they were; a model without quantised
    activations is left alone.

    Args:
        model: for instance from `quantise`.
        images: (n, …), one batch, on any device.

    >>> net = quantise(nn.Sequential(nn.Linear(2, 8), nn.ReLU()))
    >>> calibrate(net, torch.rand(64, 2))
    >>> 0 < net[1].upper < 2
    tensor(True)
    """
    activations = [m for m in model.modules() if isinstance(m, QuantisedActivation)]
    if not activations:
        return
    if not len(images):
        raise InputError("there are no images to calibrate on; give at least one")
    seen: dict[nn.Module, list[Tensor]] = {}

    def observe(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        samples = seen.setdefault(module, [])
        samples.append(subsample(inputs[0]))
        cast(QuantisedActivation, module).calibrate(torch.cat(samples))

    hooks = [activation.register_forward_pre_hook(observe) for activation in activations]
    images = as_pixels(images)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), images.dtype)
    try:
        with Guard(model, len(images), mode="train"), torch.no_grad():
            model(images.to(device_of(model), dtype, copy=True))  # it may write there
    except Exception as error:  # it is the user's code: anything may come
        raise model_failed("cannot be calibrated on", images, error) from error
    finally:
        for hook in hooks:
            hook.remove()


def _quantised_weights(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            chain = cast(nn.ModuleDict, module.parametrizations)["weight"]
            if any(isinstance(part, QuantisedWeight) for part in chain.children()):
                yield module


def _replacements(model: nn.Module) -> Iterator[QuantisedActivation]:
    for module in model.modules():
        if isinstance(module, QuantisedActivation) and module.replaced:
            yield module


def _check_found(
    weight_bits: int | None,
    layers: Mapping[str, nn.Module],
    activation_bits: int | None,
    rectifiers: Sequence[nn.Module],
) -> None:
    """Refuse what cannot be quantised, before anything is changed."""
    if weight_bits is not None:
        for name, layer in layers.items():
            weight = layer._parameters.get("weight")
            if weight is None:
                raise InputError(
                    f"the weight of layer '{name}' is parametrised already; remove that, or give"
                    " weight_bits=None"
                )
            if isinstance(weight, nn.parameter.UninitializedParameter):
                raise InputError(f"layer '{name}' has no shape yet; run the model once")
    lacks = []
    if weight_bits is not None and not layers:
        lacks.append("convolution or linear layer")
    if activation_bits is not None and not rectifiers:
        lacks.append("nn.ReLU module (relus called as functions cannot be replaced)")
    if len(lacks) == (weight_bits is not None) + (activation_bits is not None):
        raise InputError(f"there is nothing to quantise: the model has no {' and no '.join(lacks)}")
    for each in lacks:
        warnings.warn(f"the model has no {each}; that part is not quantised", stacklevel=3)


def _swap(model: nn.Module, new: Mapping[nn.Module, nn.Module]) -> None:
    """Put other modules in place of some, everywhere that they are used."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in new:
                parent._modules[name] = new[child]
