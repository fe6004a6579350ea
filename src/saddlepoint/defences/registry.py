"""Objectives, transforms and penalties by name, for recipes in files and for lists."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from saddlepoint.configuration import source_of
from saddlepoint.defences.defense_gan import defense_gan
from saddlepoint.defences.linear_probe import linear_probe
from saddlepoint.defences.mae_purify import mae_purify
from saddlepoint.defences.objectives import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Distillation,
    EmbeddingPGD,
    Free,
    FreeLB,
    HardLabels,
    Mixed,
    Standard,
)
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.quantisation import quantise
from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.errors import InputError
from saddlepoint.model import ten_crop
from saddlepoint.objectives import (
    GAN,
    MAE,
    AdversarialMAE,
    AdvGANGame,
    Classify,
    ClassifyTokens,
    LeftToRight,
    MaskedLanguage,
    Translate,
)
from saddlepoint.plugins import Registry, lacks, parameter_types


@dataclass(frozen=True)
class DefenceInfo:
    """What a list says of an objective, a transform or a penalty; `source` is the plug-in that
    brought it.

    >>> PENALTIES["orthogonal"].paper
    'Bansal et al. 2018, arXiv:1810.09102'
    """

    name: str
    build: Callable[..., Any]
    paper: str
    cost: str
    source: str = ""


def _brought(name: str, found: Any) -> DefenceInfo:
    paper, cost = (str(getattr(found, key, "")) for key in ("paper", "cost"))
    return DefenceInfo(name, found, paper, cost, source_of(found) or "")


def _objective(name: str, found: Any) -> DefenceInfo:
    if not inspect.isclass(found):
        raise InputError(f"the objective {name} is a {type(found).__name__}; give a class")
    lacks(name, found, {"accumulate": ("model", "batch")})
    return _brought(name, found)


def _penalty(name: str, found: Any) -> DefenceInfo:
    if inspect.isclass(found):
        call = "forward" if issubclass(found, nn.Module) else "__call__"
        lacks(name, found, {call: ("model",)})
    else:
        _check_function("penalty", name, found)
    return _brought(name, found)


def _transform(name: str, found: Any) -> DefenceInfo:
    _check_function("transform", name, found)
    return _brought(name, found)


def _check_function(kind: str, name: str, found: Any) -> None:
    if not inspect.isfunction(found) or "model" not in parameter_types(found):
        takes = f"({', '.join(parameter_types(found))})" if inspect.isfunction(found) else ""
        what = f"a {type(found).__name__}{takes}"
        raise InputError(f"the {kind} {name} is no function of a parameter model, but {what}")


def _registry(
    kind: str, group: str, read: Callable[[str, Any], DefenceInfo], own: Iterable[DefenceInfo]
) -> Registry[DefenceInfo]:
    return Registry(kind, {info.name: info for info in own}, read, group=group)


OBJECTIVES = _registry(
    "objective",
    "saddlepoint.objectives",
    _objective,
    (
        _brought(name, found)
        for name, found in {
            "standard": Standard,
            "adversarial-training": AdversarialTraining,
            "mixed": Mixed,
            "fgsm-rs": FGSMRS,
            "n-fgsm": NFGSM,
            "free": Free,
            "yopo": YOPO,
            "trades": TRADES,
            "trades-yopo": TRADESYOPO,
            "mart": MART,
            "awp": AWP,
            "distillation": Distillation,
            "hard-labels": HardLabels,
            "advgan": AdvGANGame,
            "mae": MAE,
            "adversarial-mae": AdversarialMAE,
            "gan": GAN,
            "translate": Translate,
            "classify": Classify,
            "classify-tokens": ClassifyTokens,
            "masked-language": MaskedLanguage,
            "left-to-right": LeftToRight,
            "embedding-pgd": EmbeddingPGD,
            "freelb": FreeLB,
        }.items()
    ),
)
"""What a step minimises: classes of `TrainingObjective`."""

TRANSFORMS = _registry(
    "transform",
    "saddlepoint.transforms",
    _transform,
    (
        DefenceInfo(
            "quantise",
            quantise,
            "Jacob et al. 2017, arXiv:1712.05877",
            "a rounding of every weight and activation per pass",
        ),
        DefenceInfo(
            "random-self-ensemble",
            random_self_ensemble,
            "Liu et al. 2018, arXiv:1712.00673",
            "noise per layer and pass; passes averaged at inference",
        ),
        DefenceInfo(
            "ten-crop",
            ten_crop,
            "He et al. 2016, arXiv:1512.03385",
            "ten passes at inference",
        ),
        DefenceInfo(
            "defense-gan",
            defense_gan,
            "Samangouei et al. 2018, arXiv:1805.06605",
            "R·L passes of a generator each way per prediction (4 × 50)",
        ),
        DefenceInfo(
            "mae-purify",
            mae_purify,
            "after He et al. 2022, arXiv:2111.06377",
            "k passes of the model and of an autoencoder per prediction (4)",
        ),
        DefenceInfo(
            "linear-probe",
            linear_probe,
            "He et al. 2022, arXiv:2111.06377",
            "none: the head alone is trained",
        ),
    ),
)
"""Changes to the model, each a function of the model and its options."""

PENALTIES = _registry(
    "penalty",
    "saddlepoint.penalties",
    _penalty,
    (
        DefenceInfo(
            "orthogonal",
            Orthogonal,
            "Bansal et al. 2018, arXiv:1810.09102",
            "a Gram matrix per layer and step",
        ),
        DefenceInfo(
            "spectral-norm",
            SpectralNorm,
            "Yoshida & Miyato 2017, arXiv:1705.10941",
            "an iteration for the largest singular value per layer and step",
        ),
    ),
)
"""Terms added to the loss."""
