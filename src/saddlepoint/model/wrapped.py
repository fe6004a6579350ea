"""What runs a module in its place, and the module's own names behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def bare(module: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, `DataParallel` and `DistributedDataParallel`, whose
    keys have no prefix.

    >>> layer = nn.Linear(2, 2)
    >>> bare(layer) is layer, bare(nn.DataParallel(layer)) is layer
    (True, True)
    """
    while (name := _inner(module)) is not None:
        module = getattr(module, name)
    return module


def plain_name(module: nn.Module) -> Callable[[str], str]:
    """Return what takes the names of wrappers out of a path or a key below the module.

    >>> plain_name(nn.Sequential(nn.DataParallel(nn.Linear(2, 2))))("0.module.weight")
    '0.weight'
    """
    # A module of somebody's own may have a part called `module`: the type says which is a wrapper.
    marks = [
        (f"{path}." if path else "", f"{name}.")
        for path, part in module.named_modules(remove_duplicate=False)
        if (name := _inner(part)) is not None
    ]

    def plain(path: str) -> str:
        path += "."
        # The innermost first, so that the outer ones' paths still begin it.
        for above, name in reversed(marks):
            if path.startswith(above + name):
                path = above + path.removeprefix(above + name)
        return path.removesuffix(".")

    return plain


def plain_modules(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules below the module by the names that they have where no part is wrapped; a
    wrapper has the name of what it wraps.

    >>> list(plain_modules(nn.DataParallel(nn.Sequential(nn.ReLU()))))
    ['0']
    """
    plain, found = plain_name(module), dict[str, nn.Module]()
    for path, part in module.named_modules():
        if name := plain(path):
            found.setdefault(name, part)
    return found


def plain_state(module: nn.Module) -> dict[str, Any]:
    """Return the state dict that the module has where no part of it is wrapped.

    >>> list(plain_state(nn.DataParallel(nn.Linear(2, 2))))
    ['weight', 'bias']
    """
    plain = plain_name(module)
    return {plain(key): value for key, value in module.state_dict().items()}


@contextlib.contextmanager
def uncompiled(module: nn.Module) -> Iterator[None]:
    """Run the module without what `torch.compile` made of it or of its parts, within the block: a
    hook is then called as in any other, and is not compiled itself.

    >>> with uncompiled(nn.Linear(2, 2)):
    ...     pass
    """
    # Asked for only where there is something compiled: to import the compiler takes seconds.
    if not any(_inner(part) == "_orig_mod" for part in module.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _inner(module: nn.Module) -> str | None:
    """Return the name that a wrapper has for what it wraps; None of any other module."""
    if isinstance(module, _PARALLEL):
        return "module"
    # What torch.compile makes, by what it has: its class is private.
    return "_orig_mod" if isinstance(getattr(module, "_orig_mod", None), nn.Module) else None
