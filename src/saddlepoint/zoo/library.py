"""Networks of timm and torchvision by name; both are optional and imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.threat import Statistics
from saddlepoint.zoo.pretrained import Offered, offered_by_timm, offered_by_url
from saddlepoint.zoo.state_file import read_state


def build_timm(
    name: str, *, classes: int, shape: tuple[int, int, int], pretrained: bool
) -> nn.Module:
    """Return a timm network for images of `shape` (C, H, W), with new weights or pretrained ones.

    Raises `InputError` where timm is not installed or does not know or cannot build the model.

    >>> build_timm("resnet18x", classes=10, shape=(3, 32, 32), pretrained=False)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown timm model 'resnet18x'; did you mean 'resnet18'?
    """
    check_known("timm", name, pretrained)
    timm = _timm()
    channels, height, width = shape
    options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    try:
        config = timm.models.get_pretrained_cfg(name)
        # Transformers are built for one size and take it; convolutional networks refuse it.
        if config is not None and config.fixed_input_size:
            options["img_size"] = (height, width)
        kept = _offered("timm", name).kept() if pretrained else None
        if kept is not None and not config.custom_load:
            # What is there is read here: without a question to the hub, and without running code.
            options["pretrained_cfg_overlay"] = {"state_dict": read_state(kept)}
        network = timm.create_model(name, pretrained=pretrained, **options)
    except InputError:
        raise
    except Exception as error:  # whatever its many constructors and the hub raise
        raise _failed(f"timm:{name}", classes, shape, error) from error
    return _module(network)


def build_torchvision(
    name: str, *, classes: int, shape: tuple[int, int, int], pretrained: bool
) -> nn.Module:
    """Return a torchvision classifier for images of `shape` (3, H, W).

    Raises `InputError` where torchvision is not installed or does not know or cannot build the
    model, for other channels than 3, and for pretrained weights with other classes than 1000.

    >>> build_torchvision("resnet18", classes=10, shape=(1, 28, 28), pretrained=False)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: torchvision:resnet18 takes 3 channels, the images have 1; \
timm: and zoo: models adapt
    """
    check_known("torchvision", name)
    models = torchvision_models()
    channels, height, width = shape
    if channels != 3:
        raise InputError(
            f"torchvision:{name} takes 3 channels, the images have {channels}; "
            "timm: and zoo: models adapt"
        )
    if pretrained and classes != 1000:
        raise InputError(
            f"torchvision:{name} has pretrained weights for 1000 classes, not {classes}; "
            f"use timm:{name}, which replaces the last layer"
        )
    if pretrained:
        check_known("torchvision", name, pretrained)
    options: dict[str, Any] = {"num_classes": classes}
    if name.startswith("vit_") and height == width:
        options["image_size"] = height
    if name in ("googlenet", "inception_v3") and not pretrained:
        # Auxiliary logits would make the output a tuple; slow truncated draws are the old default.
        options |= {"aux_logits": False, "init_weights": True}
    try:
        network = models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
    except Exception as error:  # whatever its constructors and the download raise
        raise _failed(f"torchvision:{name}", classes, shape, error) from error
    return _module(network)


def check_known(library: str, name: str, pretrained: bool = False) -> None:
    """Raise `InputError` where timm or torchvision has no model of this name or, for a `pretrained`
    one, where its weights are neither there nor can be fetched.

    >>> check_known("torchvision", "resnet18x")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown torchvision model 'resnet18x'; did you mean 'resnet18'?
    """
    if library == "timm":
        timm = _timm()
        if not timm.is_model(name):
            raise _unknown(library, name, timm.list_models())
    else:
        models = torchvision_models()
        known = models.list_models(module=models)
        if name not in known:
            raise _unknown(library, name, known)
    if pretrained:
        _offered(library, name).check(f"{library}:{name}")


def _offered(library: str, name: str) -> Offered:
    if library == "timm":
        config = timm_config(name)
        found = None if config is None else offered_by_timm(config)
        if found is None:
            raise InputError(f"timm:{name} has no pretrained weights; leave --pretrained out")
        return found
    weights: Any = torchvision_models().get_model_weights(name)
    if not len(weights):
        raise InputError(f"torchvision:{name} has no pretrained weights; leave --pretrained out")
    return offered_by_url(weights.DEFAULT.url)


def timm_normalisation(name: str) -> Statistics | None:
    """Return the mean and standard deviation that a timm model's pretrained weights expect, if known.

    >>> timm_normalisation("vit_tiny_patch16_224")
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    config = timm_config(name)
    return None if config is None else (tuple(config.mean), tuple(config.std))


def timm_classes(name: str) -> int | None:
    """Return how many classes a timm model's pretrained weights tell apart, if known.

    >>> timm_classes("vit_tiny_patch16_224")
    1000
    """
    config = timm_config(name)
    return None if config is None or not config.num_classes else int(config.num_classes)


def timm_config(name: str) -> Any:
    """Return what timm knows of a model's pretrained weights; None where it has none.

    >>> timm_config("vit_tiny_patch16_224").input_size
    (3, 224, 224)
    """
    timm = _timm()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    try:
        return timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag after the name
        raise InputError(f"timm:{name}: {error}") from error


def _timm() -> Any:
    try:
        import timm  # late: optional, and slow to import
    except ImportError as error:
        raise _missing("timm") from error
    return timm


def torchvision_models() -> Any:
    """Return torchvision's module of models; raises `InputError` where it is not installed.

    >>> "resnet18" in torchvision_models().list_models()
    True
    """
    try:
        from torchvision import models  # late: optional, and slow to import
    except ImportError as error:
        raise _missing("torchvision") from error
    found: ModuleType = models
    return found


def _missing(library: str) -> InputError:
    return InputError(f"{library} is not installed: pip install 'saddlepoint[zoo]'")


def _unknown(library: str, name: str, known: Sequence[str]) -> InputError:
    # Unlike `errors.unknown`, without the list: timm has more than a thousand.
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {len(known)}"
    return InputError(f"unknown {library} model '{name}'; {hint}")


def _failed(spec: str, classes: int, shape: tuple[int, int, int], error: Exception) -> InputError:
    text = str(error).strip()
    first = text.splitlines()[0] if text else "no reason given"
    return InputError(
        f"{spec} cannot be built for {classes} classes and images of {shape}: "
        f"{type(error).__name__}: {first}"
    )


def _module(network: Any) -> nn.Module:
    module: nn.Module = network
    return module
