"""Where a model is and what it computes in, whatever kind of module it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from saddlepoint.errors import InputError


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer (CPU where it has none).

    >>> device_of(nn.Linear(1, 1))
    device(type='cpu')
    """
    _check_kind(model)
    return anchor(model).device


def anchor(model: nn.Module) -> Tensor:
    """Return the first tensor of floats that the model holds; an empty one where there is none.

    >>> anchor(nn.Flatten())
    tensor([])
    """
    for value in (*model.parameters(), *model.buffers(), *constants(model)):
        if value.is_floating_point():
            return value
    return torch.empty(0)


def constants(model: nn.Module) -> list[Tensor]:
    """Return the tensors in the graphs of a script, or of the scripts inside a module, which
    `torch.jit.freeze` makes of weights.

    >>> constants(nn.Linear(1, 1))
    []
    """
    if not isinstance(model, torch.jit.ScriptModule):
        return [value for child in model.children() for value in constants(child)]
    graph: Any = model.inlined_graph  # its nodes live no longer than it
    nodes = graph.findAllNodes("prim::Constant")
    return [n.t("value") for n in nodes if n.output().type().kind() == "TensorType"]


def check_module(model: nn.Module) -> None:
    """Raise `InputError` for what is no module, or has no values yet.

    >>> check_module(nn.Linear(1, 1, device="meta"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: weight is on the meta device, without values; load the model's
    weights (load_state_dict with assign=True) first
    """
    _check_kind(model)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(value):
            raise InputError(
                f"{name} takes its shape from the first image; run the model once before"
            )
        if value.is_meta:
            raise InputError(
                f"{name} is on the meta device, without values;"
                " load the model's weights (load_state_dict with assign=True) first"
            )


def _check_kind(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}; give a torch.nn.Module")
