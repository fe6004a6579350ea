"""The same attacks of other libraries, as `attacks.py` sets them; each is imported when built."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from torch import nn

LIBRARIES = {
    "foolbox": "foolbox", "torchattacks": "torchattacks", "adv-lib": "adv_lib.attacks", "ART": "art",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What a peer's attack is built for."""

    model: nn.Module
    shape: tuple[int, ...]
    count: int
    eps: float
    steps: int

    @property
    def step(self) -> float:
        """α of PGD."""
        return self.eps / 4

    @cached_property
    def estimator(self) -> Any:
        """Return the network as ART takes it."""
        classes = importlib.import_module("art.estimators.classification")
        return classes.PyTorchClassifier(
            model=self.model, loss=nn.CrossEntropyLoss(), input_shape=self.shape, nb_classes=10,
            clip_values=(0.0, 1.0), device_type="cpu",
        )  # fmt: skip

    def art(self, name: str, **options: Any) -> Any:
        kind = getattr(importlib.import_module("art.attacks.evasion"), name)
        return kind(self.estimator, batch_size=self.count, verbose=False, **options)


Build = Callable[[Setting], Any]


def fb(name: str, **options: Any) -> Any:
    return getattr(importlib.import_module("foolbox.attacks"), name)(**options)


def ta(name: str, model: nn.Module, **options: Any) -> Any:
    return getattr(importlib.import_module("torchattacks"), name)(model, **options)


def al(name: str, **options: Any) -> Any:
    return partial(getattr(importlib.import_module("adv_lib.attacks"), name), **options)


# Case: library: how it is built. The settings are those of the table's row, where a library has them.
PEERS: dict[str, dict[str, Build]] = {
    "pgd": {
        "foolbox": lambda s: fb("LinfPGD", abs_stepsize=s.step, steps=s.steps),
        "torchattacks": lambda s: ta("PGD", s.model, eps=s.eps, alpha=s.step, steps=s.steps),
        "adv-lib": lambda s: al("pgd_linf", ε=s.eps, steps=s.steps, absolute_step_size=s.step),
        "ART": lambda s: s.art(
            "ProjectedGradientDescentPyTorch", norm=math.inf, eps=s.eps, eps_step=s.step,
            max_iter=s.steps, num_random_init=1,
        ),
    },
    "apgd": {
        "torchattacks": lambda s: ta("APGD", s.model, eps=s.eps, steps=s.steps),
        "adv-lib": lambda s: al("apgd", eps=s.eps, norm=math.inf, n_iter=s.steps, loss_function="ce"),
        "ART": lambda s: s.art(
            "AutoProjectedGradientDescent", eps=s.eps, eps_step=2 * s.eps, max_iter=s.steps,
            nb_random_init=1, loss_type="cross_entropy",
        ),
    },
    "deepfool": {
        "foolbox": lambda s: fb("L2DeepFoolAttack", steps=s.steps),
        "torchattacks": lambda s: ta("DeepFool", s.model, steps=s.steps),
        "adv-lib": lambda s: al("df", steps=s.steps),
        "ART": lambda s: s.art("DeepFool", max_iter=s.steps, epsilon=0.02),
    },
    "cw": {
        "foolbox": lambda s: fb("L2CarliniWagnerAttack", binary_search_steps=9, steps=s.steps),
        "adv-lib": lambda s: al("carlini_wagner_l2", max_iterations=s.steps),
        "torchattacks": lambda s: ta("CW", s.model, c=1, steps=s.steps),
        "ART": lambda s: s.art("CarliniL2Method", binary_search_steps=9, max_iter=10),
    },
    "ead": {
        "foolbox": lambda s: fb(
            "EADAttack", binary_search_steps=9, steps=s.steps, decision_rule="L1"
        ),
        "torchattacks": lambda s: ta("EADL1", s.model, max_iterations=s.steps),
        "ART": lambda s: s.art("ElasticNet", decision_rule="L1", max_iter=min(10, s.steps)),
    },
    "ddn": {
        "foolbox": lambda s: fb("DDNAttack", steps=s.steps),
        "adv-lib": lambda s: al("ddn", steps=s.steps, levels=None),
    },
    "fmn-l2": {
        "foolbox": lambda s: fb("L2FMNAttack", steps=s.steps),
        "adv-lib": lambda s: al("fmn", norm=2, steps=s.steps),
    },
    "fmn-linf": {
        "foolbox": lambda s: fb("LInfFMNAttack", steps=s.steps),
        "adv-lib": lambda s: al("fmn", norm=math.inf, steps=s.steps),
    },
    "jsma": {
        "torchattacks": lambda s: ta("JSMA", s.model, theta=1.0, gamma=s.steps / 1000),
        "ART": lambda s: s.art("SaliencyMapMethod", theta=1.0, gamma=s.steps / 1000),
    },
}  # fmt: skip

NOTES = {
    ("cw", "torchattacks"): "one c",
    ("cw", "ART"): "9×10 with line searches",
    ("ead", "ART"): "9×10",
}


def installed() -> dict[str, str | None]:
    """Return for each library None, or why it is skipped."""
    reasons: dict[str, str | None] = {}
    for name, module in LIBRARIES.items():
        try:
            importlib.import_module(module)
            reasons[name] = None
        except Exception as error:  # an old library may break in any way on a new Python
            reasons[name] = f"{type(error).__name__}: {error}"
    return reasons
