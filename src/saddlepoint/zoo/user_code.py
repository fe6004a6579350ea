"""Networks from the user's own file, `path/to/file.py:callable`, or from another package."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.plugins.files import from_file_afresh, neighbours, why
from saddlepoint.reading import expanded

_NONE: Mapping[str, Any] = MappingProxyType({})


def build_user(
    spec: str,
    *,
    classes: int,
    shape: tuple[int, ...],
    options: Mapping[str, Any] = _NONE,
) -> nn.Module:
    """Run `FILE.py` and return the network that its `callable` makes; see `made`.

    A finished network of that name is taken as it is: the file is run at every call, so that no
    two models share weights, and those it draws are of the random state of now. Raises
    `InputError` where the file or the callable is missing, fails, or makes something else.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     lines = ("from torch import nn", "def net(classes): return nn.Linear(2, classes)")
    ...     _ = file.write_text("\\n".join(lines))
    ...     build_user(f"{file}:net", classes=3, shape=(1, 1, 2))
    Linear(in_features=2, out_features=3, bias=True)
    """
    found = from_file_afresh(spec)
    if isinstance(found, nn.Module):
        return found
    with neighbours(expanded(spec.rpartition(":")[0]).parent):
        return made(found, spec, classes, shape, options)


def made(
    build: object,
    spec: str,
    classes: int,
    shape: tuple[int, ...],
    options: Mapping[str, Any] = _NONE,
) -> nn.Module:
    """Return the network that a function or a class of somebody's makes.

    It is given those of `classes` (or `num_classes`), `channels` (or `in_channels`), `size` (a
    side, or (H, W)) and `shape` (C, H, W) that its signature names, and the options. Raises
    `InputError` where it cannot be called so, fails, or makes no network.

    >>> made(lambda classes: nn.Linear(2, classes), "mine", 3, (1, 1, 2))
    Linear(in_features=2, out_features=3, bias=True)
    """
    if not callable(build):
        raise InputError(f"{spec} is {_a(build)}, not a callable that makes a model")
    network = _called(build, spec, classes, shape, options)
    if not isinstance(network, nn.Module):
        raise InputError(f"{spec} returned {_a(network)}; return a torch.nn.Module")
    return network


def _called(
    build: Callable[..., Any],
    spec: str,
    classes: int,
    shape: tuple[int, ...],
    options: Mapping[str, Any],
) -> object:
    offered: dict[str, Any] = {"classes": classes, "num_classes": classes, "shape": shape}
    if len(shape) == 3:
        channels, height, width = shape
        offered |= {"channels": channels, "in_channels": channels}
        offered["size"] = height if height == width else (height, width)
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()  # built-ins without a signature are called without arguments
    named = {
        each.name: each
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    for key in options:
        if key not in named or key in offered:
            raise unknown(f"option of {spec}", key, sorted(named.keys() - offered.keys()))
    given = {**{name: offered[name] for name in named if name in offered}, **options}
    for name, each in named.items():
        if each.default is each.empty and name not in given:
            raise InputError(
                f"{spec} needs the argument '{name}', which is not known here; give it a "
                "default (known: classes, channels, size, shape)"
            )
    try:
        return build(**given)
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec} failed: {why(error)}") from error


def _a(value: object) -> str:
    return f"a {type(value).__name__}"
