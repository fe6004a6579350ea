"""Who takes part in the table of local optimality, each with about 2,000 passes."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from attack_peers import Build, Setting, al, fb
from torch import Tensor, nn

from saddlepoint.attacks import APGD, Attack, ShrinkingBudget, build_attack, portfolio
from saddlepoint.attacks.registry import ATTACKS
from saddlepoint.attacks.wrappers.foreign import foreign
from saddlepoint.attacks.wrappers.foreign_runs import Call, run_of
from saddlepoint.threat import L0, L1, L2, Linf, NormBall, ThreatModel
from saddlepoint.threat.norms import expand, norm

LIMIT = 2000
NORMS: Mapping[str, NormBall] = {"L0": L0(), "L1": L1(), "L2": L2(), "Linf": Linf()}
_P = {"L0": 0.0, "L1": 1.0, "L2": 2.0, "Linf": math.inf}
_SEARCHES = 20
_LARGEST = {"L1": 200.0, "L2": 10.0, "Linf": 1.0}  # where the bisection of adv-lib's APGD begins

# Of our attacks: what makes about 2,000 passes; {} where an attack ends by itself.
_EACH_WAY = {"steps": 975}
OURS: Mapping[str, Mapping[str, Any]] = {
    "alma": _EACH_WAY, "brendel-bethge": {"steps": 940}, "cw-l0": {}, "cw-l2": {"steps": 105},
    "cw-linf": {"steps": 55}, "ddn": _EACH_WAY, "deepfool": {"steps": 190}, "ead": {"steps": 80},
    "fab": {"steps": 178}, "fmn": _EACH_WAY, "jsma": {}, "l-bfgs": {"steps": 100},
    "pdgd": _EACH_WAY, "pdpgd": _EACH_WAY, "sigma-zero": {"steps": 930},
    "hop-skip-jump": {"steps": 6},
}  # fmt: skip


def ours(name: str, passes: int = LIMIT) -> Iterator[tuple[str, Callable[[], Attack]]]:
    """Yield our attacks of a norm, as they are by default and as published, and the portfolio."""
    threat = NORMS[name]
    for attack, fewest in OURS.items():
        info = ATTACKS[attack]
        if name not in info.attack.norms:
            continue
        options = {key: value * passes // LIMIT for key, value in fewest.items()}
        yield attack, partial(build_attack, attack, threat, options)
        if paper := {k: v for k, v in info.attack.paper_options.items() if k != "steps"}:
            yield f"{attack}.published", partial(build_attack, attack, threat, {**paper, **options})
    if name != "L0":
        yield "apgd, shrinking", partial(_shrinking, name, passes)
    yield "portfolio", partial(portfolio, threat, passes=passes)


def _shrinking(name: str, passes: int) -> Attack:
    steps = (passes - 60) // (2 * _SEARCHES) - 1  # of each search; and one forward at its end
    apgd = APGD(NORMS[name].with_eps(_LARGEST[name] / 10), steps=steps, loss="margin")
    return ShrinkingBudget(apgd, searches=_SEARCHES)


def _apgd(setting: Setting, largest: float, p: float) -> Any:
    minimal = importlib.import_module("adv_lib.attacks.auto_pgd").minimal_apgd
    steps = max((setting.steps - 24) // 12, 1)  # and a pass more at the end of each search
    return partial(minimal, norm=p, max_eps=largest, binary_search_steps=12, n_iter=steps)


def _peers(name: str) -> Iterator[tuple[str, Build]]:
    p = _P[name]
    yield "adv-lib fmn", lambda s: al("fmn", norm=p, steps=s.steps)
    proximal = 23 if name == "L0" else None
    yield (
        "adv-lib pdpgd",
        lambda s: al("pdpgd", norm=p, num_steps=s.steps, proximal_operator=proximal),
    )
    if name == "L0":
        yield "adv-lib sigma-zero", lambda s: al("sigma_zero", num_steps=s.steps)
        yield "adv-lib vfga", lambda s: al("vfga", max_iter=s.steps // 6, targeted=False)
    else:
        yield "adv-lib apgd", partial(_apgd, largest=_LARGEST[name], p=p)
    if name in ("L1", "L2"):
        yield "adv-lib alma", lambda s: al("alma", distance=name.lower(), num_steps=s.steps)
    if name == "L2":
        yield "adv-lib ddn", lambda s: al("ddn", steps=s.steps, levels=None)
        yield "adv-lib pdgd", lambda s: al("pdgd", num_steps=s.steps)
    kind = "Linfinity" if name == "Linf" else name
    yield (
        "foolbox brendel-bethge",
        lambda s: fb(f"{kind}BrendelBethgeAttack", steps=s.steps - 25),
    )


def peers(
    name: str, model: nn.Module, images: Tensor, passes: int = LIMIT
) -> Iterator[tuple[str, Callable[[], Attack]]]:
    """Yield the other libraries' attacks of a norm."""
    for label, build in _peers(name):
        setting = Setting(model, tuple(images.shape[1:]), len(images), 0.0, passes // 2 - 5)
        yield label, partial(_tracked, build, setting, NORMS[name], _P[name])


def _tracked(build: Build, setting: Setting, threat: ThreatModel, p: float) -> Attack:
    """Return a peer's attack, which returns the nearest of all that it looked at."""
    run = run_of(build(setting), {})

    def nearest(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        seen = _Seen(model, images, labels, p)
        seen.look(run(Call(seen, images, labels, False, threat)).detach())
        return seen.best

    return foreign(nearest, threat)


class _Seen(nn.Module):
    """The model of a peer, which keeps the nearest image that fools."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, p: float) -> None:
        super().__init__()
        self.model, self.images, self.labels, self.p = [model], images, labels, p
        self.best = images.clone()
        self.length = torch.full((len(images),), math.inf)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model[0](x)
        if len(x) == len(self.images):
            self._keep(x.detach(), logits.detach())
        return logits

    def look(self, x: Tensor) -> None:
        with torch.no_grad():
            self._keep(x.to(self.images), self.model[0](x.to(self.images)))

    def _keep(self, x: Tensor, logits: Tensor) -> None:
        length = norm((x - self.images).flatten(1), self.p)
        valid = (x >= 0).flatten(1).all(1) & (x <= 1).flatten(1).all(1)
        others = logits.scatter(1, self.labels[:, None], -math.inf).amax(1)
        fools = others > logits.gather(1, self.labels[:, None])[:, 0]
        nearer = fools & valid & (length < self.length)
        self.length = torch.where(nearer, length, self.length)
        self.best = torch.where(expand(nearer, x), x, self.best)


__all__ = ["LIMIT", "NORMS", "ours", "peers"]
