"""How the attack objects of other libraries are called; none of them is imported unless used."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.threat import ThreatModel, eps_of


@dataclass(frozen=True)
class Call:
    """One call of a foreign attack: the counting model, the images, and labels or targets.

    >>> from saddlepoint.threat import Linf
    >>> Call(nn.Flatten(), torch.zeros(1, 2), torch.tensor([0]), False, Linf(0.1)).targeted
    False
    """

    model: nn.Module
    images: Tensor
    goals: Tensor
    targeted: bool
    threat: ThreatModel


Run = Callable[[Call], Tensor]


def run_of(attack: Any, options: Mapping[str, Any]) -> Run:
    """Return how to run `attack`, by the library that one of its classes comes from.

    >>> from saddlepoint.threat import Linf
    >>> run = run_of(lambda model, images, labels: images + 1, {})
    >>> run(Call(nn.Flatten(), torch.zeros(1, 2), torch.tensor([0]), False, Linf(0.1)))
    tensor([[1., 1.]])
    """
    homes = {each.__module__.partition(".")[0] for each in type(attack).__mro__}
    for home, run in (("torchattacks", _torchattacks), ("foolbox", _foolbox), ("art", _art)):
        if home in homes:
            if options:
                raise InputError(f"a {home} attack was built with its options; give none here")
            return lambda call: run(attack, call)
    if not callable(attack):
        raise InputError(
            f"{attack!r} is no attack: give an attack of torchattacks, foolbox or ART, or a"
            " function f(model, images, labels)"
        )
    return lambda call: _function(attack, call, options)


def _function(attack: Callable[..., Any], call: Call, options: Mapping[str, Any]) -> Tensor:
    """Run f(model, images, labels); adv-lib's functions take the targets as labels."""
    extra: dict[str, Any] = dict(options)
    if call.targeted:
        known = inspect.signature(attack).parameters
        if "targeted" in known:
            extra["targeted"] = True
        elif "targets" in known:
            extra["targets"] = call.goals
        else:
            name = getattr(attack, "__name__", repr(attack))
            raise InputError(f"{name} takes neither targeted= nor targets=; leave targets out")
    found: Tensor = attack(call.model, call.images, call.goals, **extra)
    return found


def _torchattacks(attack: Any, call: Call) -> Tensor:
    changes = {
        "model": call.model,
        "device": call.images.device,
        # It would otherwise turn the labels into targets by a rule of its own.
        "targeted": call.targeted,
    }
    mode = getattr(attack, "attack_mode", "default")
    if call.targeted and "targeted" not in getattr(attack, "supported_mode", ()):
        raise InputError(f"{type(attack).__name__} of torchattacks has no targeted form")
    with _changed(attack, changes):
        if call.targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        try:
            found: Tensor = attack(call.images, call.goals)
        finally:
            if call.targeted:
                attack.attack_mode = mode
    return found


def _foolbox(attack: Any, call: Call) -> Tensor:
    foolbox = importlib.import_module("foolbox")
    model = foolbox.PyTorchModel(call.model.eval(), bounds=(0, 1), device=call.images.device)
    criteria = foolbox.criteria
    criterion = criteria.TargetedMisclassification if call.targeted else criteria.Misclassification
    eps = eps_of(call.threat, math.inf)
    if isinstance(eps, Tensor) or call.threat.space != "pixels":
        raise InputError(
            "a foolbox attack takes one budget in pixels; give one number, not in normalised space"
        )
    budget = None if math.isinf(eps) else float(eps)
    _, clipped, _ = attack(model, call.images, criterion(call.goals), epsilons=budget)
    found: Tensor = clipped
    return found


def _art(attack: Any, call: Call) -> Tensor:
    estimators = importlib.import_module("art.estimators.classification")
    with torch.no_grad():
        classes = call.model(call.images[:1]).shape[1]
    estimator = estimators.PyTorchClassifier(
        model=call.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(call.images.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if call.images.is_cuda else "cpu",
    )
    changes: dict[str, Any] = {"_estimator": estimator}
    if hasattr(attack, "targeted"):
        changes["_targeted"] = call.targeted
    elif call.targeted:
        raise InputError(f"{type(attack).__name__} of ART has no targeted form")
    # Some of ART's attacks hand the work to another one that they hold.
    inner = getattr(attack, "_attack", None)
    held = _changed(inner, changes) if hasattr(inner, "generate") else contextlib.nullcontext()
    with _changed(attack, changes), held:
        found = attack.generate(x=call.images.cpu().numpy(), y=call.goals.cpu().numpy())
    return torch.as_tensor(found)


@contextlib.contextmanager
def _changed(attack: Any, changes: Mapping[str, Any]) -> Iterator[None]:
    """Set attributes of somebody else's object, and put them back."""
    missing = object()
    before = {name: attack.__dict__.get(name, missing) for name in changes}
    try:
        for name, value in changes.items():
            setattr(attack, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                attack.__dict__.pop(name, None)
            else:
                setattr(attack, name, value)
