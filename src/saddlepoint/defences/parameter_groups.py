"""Which layer a parameter is of, and whether weight decay is for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from saddlepoint.errors import InputError

POSITIONS_AND_TOKENS = frozenset(
    {
        *("class_token", "mask_token"),
        *("pos_embed", "pos_embedding", "cls_token", "relative_position_bias_table"),
    }
)
"""Names of what is no weight: our tokens, and position tables and tokens of timm and torchvision; our
tables declare themselves."""
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def undecayed(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that are no weights: what has fewer than two dimensions
    (biases, scales), all of a normalisation layer, position tables and tokens by their names
    (`POSITIONS_AND_TOKENS`), and what a module of the model declares in an attribute
    `no_decay`, a collection of names of its own parameters, dotted where they are deeper.

    Raises `InputError` for a declared name that is no parameter.

    >>> sorted(undecayed(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm([2, 2]))))
    ['0.bias', '1.bias', '1.weight']
    """
    parameters = dict(model.named_parameters())
    found = {
        name
        for name, each in parameters.items()
        if each.ndim < 2 or name.rpartition(".")[2] in POSITIONS_AND_TOKENS
    }
    for place, module in model.named_modules():
        prefix = f"{place}." if place else ""
        declared = set(getattr(module, "no_decay", ()))
        missing = [name for name in declared if f"{prefix}{name}" not in parameters]
        if missing:
            raise InputError(
                f"{type(module).__name__}.no_decay names {missing[0]!r}, which is no parameter of it"
            )
        if isinstance(module, _NORMS):
            declared |= {name for name, _ in module.named_parameters()}
        found |= {f"{prefix}{name}" for name in declared}
    return frozenset(found)


def layers_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of a network layer by layer, from the image on.

    A network that has a method `layer_groups()` says so itself: it returns, from the image on, groups
    of modules and parameters. Otherwise they are the children in the order of their definition, of an
    `nn.Sequential` or `nn.ModuleList` each entry being a layer. The network's own parameters, such as
    tokens and position tables, belong to the first layer, and what has only biases and scales, such
    as a normalisation, to the layer before it. What merely wraps one network is looked through.

    Raises `InputError` where `layer_groups` leaves parameters out.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    >>> [[tuple(p.shape) for p in layer] for layer in layers_of(net)]
    [[(2, 1, 3, 3), (2,), (2,), (2,)], [(2, 8), (2,)]]
    """
    found: list[list[nn.Parameter]] = []
    seen: set[int] = set()
    for group in _opened(model, root=True):
        new = [each for each in group if id(each) not in seen]  # tied ones are of the first layer
        seen |= {id(each) for each in new}
        if found and all(each.ndim < 2 for each in new):
            found[-1] += new
        elif new:
            found.append(new)
    return found


def _opened(module: nn.Module, root: bool = False) -> Iterator[list[nn.Parameter]]:
    told = getattr(module, "layer_groups", None)
    if inspect.ismethod(told):
        yield from _told(module, told())
        return
    own = list(module.parameters(recurse=False))
    children = [each for each in module.children() if any(True for _ in each.parameters())]
    if root and len(children) == 1 and not own:
        yield from _opened(children[0], root=True)
    elif root or isinstance(module, nn.Sequential | nn.ModuleList):
        groups = [group for child in children for group in _opened(child)]
        yield own + (groups[0] if groups else [])
        yield from groups[1:]
    else:
        yield list(module.parameters())


def _told(module: nn.Module, groups: object) -> list[list[nn.Parameter]]:
    found: list[list[nn.Parameter]] = []
    for group in groups:  # type: ignore[attr-defined]
        parts = [group] if isinstance(group, nn.Module | nn.Parameter) else group
        found.append([p for part in parts for p in _parameters(part)])
    told = {id(p) for group in found for p in group}
    left = [name for name, p in module.named_parameters() if id(p) not in told]
    if left:
        raise InputError(
            f"{type(module).__name__}.layer_groups leaves {left[0]} out; put every parameter into a"
            " group"
        )
    return found


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())
