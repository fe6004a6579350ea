"""One function for every source of networks: the zoo, timm, torchvision, a folder of Hugging Face,
the user's own file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from saddlepoint.data import IMAGENET
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Preprocessing
from saddlepoint.plugins import file_source, from_file, is_file_spec
from saddlepoint.threat import Statistics
from saddlepoint.zoo.huggingface import (
    build_huggingface,
    read_huggingface,
)
from saddlepoint.zoo.huggingface_files import check_transformers
from saddlepoint.zoo.library import (
    build_timm,
    build_torchvision,
    check_known,
    timm_classes,
    timm_normalisation,
)
from saddlepoint.zoo.preprocessing import timm_preprocessing, torchvision_preprocessing
from saddlepoint.zoo.registry import ZOO
from saddlepoint.zoo.shapes import check_counts, sides
from saddlepoint.zoo.user_code import build_user

_SOURCES = ("zoo", "timm", "torchvision", "hf")


def build_model(
    spec: str,
    *,
    classes: int,
    shape: tuple[int, ...],
    pretrained: bool = False,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return the network that `spec` names, for images of `shape` (C, H, W), without normalisation;
    a `FILE.py:CALLABLE` may be for vectors, (D,).

    `spec` is `zoo:NAME` or a bare NAME of the zoo, `timm:NAME`, `torchvision:NAME`, `hf:FOLDER`
    (see `read_huggingface`; its weights are in it), or `FILE.py:CALLABLE`. `options` are for those
    of the zoo that have some, such as the `widths` of `zoo:simple-cnn`. The initial weights depend
    on `seed` only; torch's global random state is left as it was. Raises `InputError` where the
    model is unknown or cannot be built.

    >>> network = build_model("zoo:simple-cnn", classes=10, shape=(1, 8, 8))
    >>> network(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    source, name = _parsed(spec)
    _check_pretrained(spec, pretrained)
    if options and source in ("timm", "torchvision", "hf"):
        raise InputError(f"{spec} takes no options; options are for models of the zoo")
    # Vectors are for whoever brings a model for them.
    if source == "file":
        check_counts(classes, shape[0] if shape else 0)
        with _seeded(seed):
            return build_user(spec, classes=classes, shape=shape, options=options or {})
    if len(shape) != 3:
        raise InputError(f"the images have shape {tuple(shape)}; models take (C, H, W)")
    channels, height, width = shape
    check_counts(classes, channels)
    sides((height, width))
    with _seeded(seed):
        if source == "zoo":
            size = height if height == width else (height, width)
            build = partial(ZOO.find(name).build, classes=classes, channels=channels, size=size)
            return _with_options(name, build, options or {})
        if source == "hf":
            return build_huggingface(name, classes=classes, shape=shape)
        library = build_timm if source == "timm" else build_torchvision
        return library(name, classes=classes, shape=shape, pretrained=pretrained)


def check_spec(spec: str, *, pretrained: bool = False) -> None:
    """Raise `InputError` for a model that is certainly not there, without building it; a file of
    code is run.

    >>> check_spec("zoo:simple-cn")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown zoo model 'simple-cn'; did you mean 'simple-cnn'? ...
    """
    source, name = _parsed(spec)
    _check_pretrained(spec, pretrained)
    if source == "zoo":
        ZOO.find(name)
    if source == "hf":
        read_huggingface(name)
        check_transformers()
    if source == "file":
        with _seeded(0):  # what the file draws leaves the global random state as it was
            from_file(spec)
    if source in ("timm", "torchvision"):
        check_known(source, name, pretrained)


def is_whole(spec: str) -> bool:
    """Return whether a spec names a model that comes with its weights and its preprocessing:
    `hf:FOLDER`.

    >>> is_whole("hf:vit"), is_whole("timm:resnet18")
    (True, False)
    """
    return _parsed(spec)[0] == "hf"


def is_generator(spec: str) -> bool:
    """Return whether a spec names a model that makes images, and classifies none.

    >>> is_generator("zoo:simple-cnn")
    False
    """
    source, name = _parsed(spec)
    return source == "zoo" and ZOO.find(name).generator


def default_normalisation(spec: str) -> Statistics | None:
    """Return the (mean, std) that a model's pretrained weights expect; None for zoo and own code,
    and for a folder of Hugging Face that asks for none.

    Raises `InputError` for a spec of no known form and for an unknown timm model.

    >>> default_normalisation("torchvision:resnet18")
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    >>> default_normalisation("simple-cnn") is None
    True
    """
    source, name = _parsed(spec)
    if source == "timm":
        return timm_normalisation(name)
    if source == "hf":
        return read_huggingface(name).statistics
    return IMAGENET if source == "torchvision" else None


def default_preprocessing(spec: str) -> Preprocessing | None:
    """Return how images are resized and cut for a model's pretrained weights; None for zoo and own
    code, and where there are no such weights.

    Raises `InputError` as `default_normalisation`, and for what no layer does here.

    >>> print(default_preprocessing("torchvision:resnet18"))
    resized (bilinear) shorter side to 256, the middle 224×224 cut out
    """
    source, name = _parsed(spec)
    if source == "timm":
        return timm_preprocessing(name)
    if source == "hf":
        return read_huggingface(name).preprocessing
    return torchvision_preprocessing(name) if source == "torchvision" else None


def pretrained_classes(spec: str) -> int | None:
    """Return how many classes a model's pretrained weights tell apart; None for zoo and own code.

    >>> pretrained_classes("torchvision:resnet18"), pretrained_classes("simple-cnn")
    (1000, None)
    """
    source, name = _parsed(spec)
    if source == "timm":
        return timm_classes(name)
    if source == "hf":
        return read_huggingface(name).count
    return 1000 if source == "torchvision" else None


def class_names(spec: str) -> tuple[str, ...] | None:
    """Return the names of a model's outputs, where it says them: a folder of Hugging Face may.

    >>> class_names("simple-cnn")
    """
    source, name = _parsed(spec)
    return read_huggingface(name).classes if source == "hf" else None


def weights_inside(spec: str) -> dict[str, Any] | None:
    """Return the file and the fingerprint of the weights that a model comes with; None where they
    are given apart.

    >>> weights_inside("simple-cnn")
    """
    source, name = _parsed(spec)
    return read_huggingface(name).weights if source == "hf" else None


def _check_pretrained(spec: str, pretrained: bool) -> None:
    source = _parsed(spec)[0]
    if pretrained and source in ("zoo", "file"):
        raise InputError(f"{spec} has no pretrained weights; build it without and load a file")
    if pretrained and source == "hf":
        raise InputError(f"{spec} brings its weights; leave --pretrained out")


def _with_options(
    name: str, build: Callable[..., nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    known = inspect.signature(build).parameters
    free = [key for key in known if key not in ("depth", "width", "classes", "channels", "size")]
    for key in options:
        if key not in free and "options" not in known:  # a plug-in checks its own
            raise unknown(f"option of {name}", key, free)
    try:
        return build(**options)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be built with {dict(options)}: {error}") from error


def model_source(spec: str) -> str:
    """Return the plug-in that brings a model: a file and its digest, or a package and its version;
    "" for all others. Raises `InputError` for a file that cannot be read.

    >>> model_source("zoo:resnet20")
    ''
    """
    source, name = _parsed(spec)
    if source == "file":
        return file_source(spec)
    return ZOO.find(name).source if source == "zoo" else ""


def _parsed(spec: str) -> tuple[str, str]:
    """Return the source, `zoo`, `timm`, `torchvision` or `file`, and the name within it."""
    source, colon, name = spec.partition(":")
    if colon and source in _SOURCES:
        return source, name
    if spec in ZOO:
        return "zoo", spec
    if is_file_spec(spec):
        return "file", spec
    raise unknown(
        "model", spec, (*ZOO, "timm:NAME", "torchvision:NAME", "hf:FOLDER", "FILE.py:CALLABLE")
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Devices are forked only where CUDA is running already: asking would start it.
    running = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if running else ()
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
