"""How near each minimum-norm attack comes to the smallest distances that any of them finds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from attack_measures import mean, now
from attack_networks import EPS, Subject
from attack_peers import Build, Setting, al, fb

from saddlepoint.attacks import Attack, build_attack
from saddlepoint.attacks.wrappers.foreign import foreign
from saddlepoint.evaluation.optimality import local_optimality, smallest_distances
from saddlepoint.threat import L0, L1, L2, Linf, ThreatModel

LIMIT, STEPS = 2000, 950
NORMS: dict[str, tuple[ThreatModel, dict[str, dict[str, Any]]]] = {
    "L0": (L0(), {"fmn": {}, "pdpgd": {}, "sigma-zero": {"steps": 900}, "jsma": {"steps": None}}),
    "L1": (
        L1(), {"fmn": {}, "pdpgd": {}, "alma": {}, "ead": {"steps": 80}, "fab": {"steps": 150}},
    ),
    "L2": (
        L2(),
        {
            "deepfool": {"steps": 50}, "cw-l2": {"steps": 105}, "ddn": {}, "fmn": {}, "pdgd": {},
            "pdpgd": {}, "alma": {}, "fab": {"steps": 150},
        },
    ),
    "Linf": (Linf(), {"deepfool": {"steps": 50}, "fmn": {}, "pdpgd": {}, "fab": {"steps": 150}}),
}  # fmt: skip

# Norm: name: how it is built, for the score of local optimality.
NEAREST: dict[str, dict[str, Build]] = {
    "L0": {
        "foolbox FMN": lambda s: fb("L0FMNAttack", steps=s.steps),
        "adv-lib FMN": lambda s: al("fmn", norm=0, steps=s.steps),
        "adv-lib PDPGD": lambda s: al("pdpgd", norm=0, num_steps=s.steps),
        "adv-lib σ-zero": lambda s: al("sigma_zero", num_steps=s.steps),
    },
    "L1": {
        "foolbox FMN": lambda s: fb("L1FMNAttack", steps=s.steps),
        "foolbox EAD": lambda s: fb("EADAttack", steps=s.steps // 14, decision_rule="L1"),
        "adv-lib FMN": lambda s: al("fmn", norm=1, steps=s.steps),
        "adv-lib PDPGD": lambda s: al("pdpgd", norm=1, num_steps=s.steps),
        "adv-lib ALMA": lambda s: al("alma", distance="l1", num_steps=s.steps),
        "adv-lib FAB": lambda s: al("fab", norm=1, n_iter=s.steps // 5),
    },
    "L2": {
        "foolbox DeepFool": lambda s: fb("L2DeepFoolAttack"),
        "foolbox C&W": lambda s: fb("L2CarliniWagnerAttack", steps=s.steps // 9),
        "foolbox DDN": lambda s: fb("DDNAttack", steps=s.steps),
        "foolbox FMN": lambda s: fb("L2FMNAttack", steps=s.steps),
        "adv-lib C&W": lambda s: al("carlini_wagner_l2", max_iterations=s.steps // 9),
        "adv-lib DDN": lambda s: al("ddn", steps=s.steps, levels=None),
        "adv-lib FMN": lambda s: al("fmn", norm=2, steps=s.steps),
        "adv-lib PDGD": lambda s: al("pdgd", num_steps=s.steps),
        "adv-lib PDPGD": lambda s: al("pdpgd", norm=2, num_steps=s.steps),
        "adv-lib ALMA": lambda s: al("alma", distance="l2", num_steps=s.steps),
        "adv-lib FAB": lambda s: al("fab", norm=2, n_iter=s.steps // 5),
    },
    "Linf": {
        "foolbox DeepFool": lambda s: fb("LinfDeepFoolAttack"),
        "foolbox FMN": lambda s: fb("LInfFMNAttack", steps=s.steps),
        "adv-lib FMN": lambda s: al("fmn", norm=math.inf, steps=s.steps),
        "adv-lib PDPGD": lambda s: al("pdpgd", norm=math.inf, num_steps=s.steps),
        "adv-lib FAB": lambda s: al("fab", norm=math.inf, n_iter=s.steps // 5),
    },
}  # fmt: skip


def optimality(name: str, net: Subject, count: int, libraries: dict[str, Any]) -> None:
    """Print the local optimality of all minimum-norm attacks in a norm."""
    threat, attacks = NORMS[name]
    images, labels = net.first(count, right=True)
    setting = Setting(net.model, tuple(images.shape[1:]), len(images), EPS, STEPS)
    runs: dict[str, Callable[[], Attack]] = {}
    for label, build in NEAREST[name].items():
        if libraries[label.split()[0]] is None:
            runs[label] = partial(_foreign, build, setting, threat)
    for attack, options in attacks.items():
        merged = {"steps": STEPS, **options}
        given = {key: value for key, value in merged.items() if value is not None}
        runs[attack] = partial(build_attack, attack, threat, given)
    runs["portfolio"] = partial(_portfolio, threat)
    results, seconds = {}, {}
    for label, build_one in runs.items():
        try:
            run = build_one()
            began = now()
            results[label] = run(net.model, images, labels)
            seconds[label] = now() - began
        except Exception as error:  # a peer that breaks is a line, not the end
            print(f"({label} is skipped: {type(error).__name__}: {error})")
    smallest = smallest_distances({label: result.distance for label, result in results.items()})
    print(f"\n{name}: {len(images)} images, {net.name}; at most {LIMIT} passes")
    print(
        f"  {'':20}{'optimality':>11}{'mean distance':>15}{'failed':>8}{'passes':>8}{'seconds':>9}"
    )
    score = {label: local_optimality(r.distance, smallest) for label, r in results.items()}
    for label in sorted(score, key=lambda each: -score[each]):
        result = results[label]
        passes = mean(result.forwards + result.backwards)
        print(
            f"  {label:20}{score[label]:11.4f}{mean(result.distance[result.success]):15.4f}"
            f"{int((~result.success).sum()):8}{passes:8.0f}{seconds[label]:9.1f}"
            + ("  over the limit" if passes > LIMIT else ""),
            flush=True,
        )


def _foreign(build: Build, setting: Setting, threat: ThreatModel) -> Attack:
    return foreign(build(setting), threat)


def _portfolio(threat: ThreatModel) -> Attack:
    from saddlepoint.attacks.wrappers.portfolio import portfolio

    return portfolio(threat, passes=LIMIT)
