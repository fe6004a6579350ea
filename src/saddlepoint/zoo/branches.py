"""The residual branches of a network: which modules end them, and what becomes of it without some."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, autograd, nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.model.wrapped import bare, plain_modules, uncompiled
from saddlepoint.option_values import Share, check_value
from saddlepoint.zoo.preact_block import PreActBlock
from saddlepoint.zoo.residual_block import BasicBlock, Bottleneck

# What ends the branches of a block, by what a block of that family has; the first that fits counts.
_FAMILIES: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (("conv1", "bn1", "conv3", "bn3", "downsample"), ("bn3",)),  # torchvision, timm
    (("conv1", "bn1", "conv2", "bn2", "downsample"), ("bn2",)),
    (("norm1", "attn", "norm2", "mlp"), ("attn", "mlp")),  # blocks of attention: timm's
    (("norm1", "attention", "norm2", "mlp"), ("attention", "mlp")),  # our own
    (("ln_1", "self_attention", "ln_2", "mlp"), ("self_attention", "mlp")),  # torchvision
)


def residual_branches(
    model: nn.Module, ends: Sequence[str] = ()
) -> dict[str, tuple[nn.Module, ...]]:
    """Return the blocks that add something to a branch, by name, and the modules that end their
    branches: one each, or that of the attention and that of the MLP.

    Blocks are those of this zoo, the ResNets of torchvision and timm, and blocks of attention that
    are named as theirs. A plain block has no branch.

    Args:
        ends: patterns of names (`layer?.*.bn2`) of modules that end branches, for other networks; each
            is then a block of its own.

    Raises `InputError` where there is none.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("resnet20", classes=10, shape=(3, 8, 8))
    >>> list(residual_branches(net))[:2], len(residual_branches(net))
    (['stage1.0', 'stage1.1'], 9)
    """
    known = plain_modules(model)
    found: dict[str, tuple[nn.Module, ...]] = {}
    for pattern in ends:
        named = {name: (part,) for name, part in known.items() if fnmatchcase(name, pattern)}
        if not named:
            raise unknown("module of the model", pattern, known)
        found |= named
    if not ends:
        found = {name: last for name, part in known.items() if (last := _ends(part))}
    if not found:
        raise InputError(
            f"the {type(model).__name__} has no residual block that is known here; name the modules"
            " that end its branches"
        )
    return found


def _ends(block: nn.Module) -> tuple[nn.Module, ...]:
    block = bare(block)
    if isinstance(block, BasicBlock | Bottleneck):
        return () if block.shortcut is None else (block.last,)
    if isinstance(block, PreActBlock):
        return (block.conv2,)
    for parts, last in _FAMILIES:
        # A block without projection has `downsample` = None, which is no child.
        if all(hasattr(block, part) for part in parts):
            return tuple(getattr(block, name) for name in last)
    return ()


@contextlib.contextmanager
def skip_gradient(model: nn.Module, gamma: float, ends: Sequence[str] = ()) -> Iterator[None]:
    """Multiply, inside the context, the gradient of every residual branch by γ; values stay what
    they are to the last bit, and with γ = 1 so do gradients.

    Of z' = z + f(z) the derivative becomes 1 + γ·f'(z), so that more of the gradient comes by the
    shortcuts. Wu et al. 2020, arXiv:2002.05990.

    Args:
        model: with residual branches; raises as `residual_branches` where it has none.
        gamma: γ in (0, 1].
        ends: see `residual_branches`.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("resnet20", classes=10, shape=(1, 8, 8)).eval()
    >>> x = torch.rand(1, 1, 8, 8, requires_grad=True)
    >>> whole = torch.autograd.grad(net(x)[0, 0], x)[0]
    >>> with skip_gradient(net, 0.5):
    ...     half = torch.autograd.grad(net(x)[0, 0], x)[0]
    >>> torch.equal(whole, half)
    False
    """
    check_value("gamma", gamma, Share)
    modules = [end for last in residual_branches(model, ends).values() for end in last]
    with _replaced(model, modules, lambda y: _Scaled.apply(y, gamma)):
        yield


@contextlib.contextmanager
def without_blocks(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Leave blocks out, inside the context: their branches return zero, and a plain block of one shape
    its input.

    A block that changes the shape keeps its shortcut. Veit, Wilber and Belongie 2016,
    arXiv:1605.06431.

    Args:
        names: of blocks, as `block_names` lists them.

    Raises `InputError` for a name that no block has, and for a plain block that changes the shape.

    >>> from saddlepoint.zoo import build_model
    >>> net = build_model("resnet20", classes=10, shape=(1, 8, 8)).eval()
    >>> x = torch.rand(1, 16, 8, 8)
    >>> with without_blocks(net, ["stage1.1"]):
    ...     torch.equal(net.stage1[1](x), x)
    True
    """
    blocks = _blocks(model)
    for name in names:
        if name not in blocks:
            raise unknown("block of the model", name, blocks)
    plain = [blocks[name] for name in names if not _ends(blocks[name])]
    modules = [end for name in names for end in _ends(blocks[name])]
    for block in plain:
        if isinstance(block, BasicBlock | Bottleneck) and _changes_shape(block):
            raise InputError(
                "a plain block that changes the shape cannot be left out; choose another"
            )
    with _replaced(model, modules, torch.zeros_like), contextlib.ExitStack() as stack:
        for block in plain:
            handle = block.register_forward_hook(lambda _block, inputs, _output: inputs[0])
            stack.callback(handle.remove)
        yield


def block_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the blocks that `without_blocks` knows, plain ones too, in their order.

    >>> from saddlepoint.zoo import build_model
    >>> block_names(build_model("plain20", classes=10, shape=(1, 8, 8)))[-1]
    'stage3.2'
    """
    return tuple(_blocks(model))


def _blocks(model: nn.Module) -> Mapping[str, nn.Module]:
    parts = {name: bare(part) for name, part in plain_modules(model).items()}
    return {
        name: part
        for name, part in parts.items()
        if isinstance(part, BasicBlock | Bottleneck) or _ends(part)
    }


def _changes_shape(block: BasicBlock | Bottleneck) -> bool:
    outputs = block.last.num_features
    convolutions = (part for part in block.modules() if isinstance(part, nn.Conv2d))
    strides = any(part.stride != (1, 1) for part in convolutions)
    return strides or block.conv1.in_channels != outputs


@contextlib.contextmanager
def _replaced(
    model: nn.Module, modules: Sequence[nn.Module], by: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Pass what the modules return through a function; of several values the first."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (by(output[0]), *output[1:])
        return by(output)

    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        stack.enter_context(uncompiled(model))
        yield


class _Scaled(autograd.Function):
    """The identity, whose gradient is multiplied by a number."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Float[Tensor, "*shape"], by: float) -> Float[Tensor, "*shape"]:
        """Return the value."""
        return value.clone()  # of a view nothing could be changed in place

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Remember the number."""
        ctx.by = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        """Multiply the gradient."""
        return gradients[0] * ctx.by, None
