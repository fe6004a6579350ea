"""Our attacks beside those of foolbox, torchattacks, adv-lib and ART: time, passes, result, memory.

    python benchmarks/attacks.py [--only pgd cw] [--images 24] [--repeats 3]
    python benchmarks/attacks.py --run-robust RUN --run-standard RUN    # of `saddlepoint train`
    python benchmarks/attacks.py --optimality [--only L2] [--half chosen] [--images 16] [--book FILE]

One process, the same network and images, libraries in turn; a library that is not installed is
skipped. Without folders two small networks are trained first, on cifar10-jpeg where
SADDLEPOINT_DATA has it and on enlarged digits elsewhere.

- seconds: median of the repeats after a shorter warm-up, of CPU time with one thread (other jobs
  then disturb less), else of the clock.
- passes: forward/backward per image; a peer's are counted by running it through `foreign`, whose
  judge also says what it found (and adds three forwards).
- over bare: our time over that of a loop which makes the same passes, in the same batches, and
  nothing else. Target 1.05.
- buffers: memory at the peak above model and images (resident set of a forked process, large blocks
  returned to the system at once), less that of a bare forward and backward, in units of the
  images' own size. Of a shorter run; Linux alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attack_measures import bare_pass, mean, now, peak, replay
from attack_networks import EPS, Subject, subjects
from attack_optimality import NORMS, table
from attack_peers import NOTES, PEERS, Setting, installed
from optimality_networks import HALVES
from torch import Tensor, nn

from saddlepoint.attacks import Attack, AttackResult, build_attack
from saddlepoint.attacks.wrappers.foreign import foreign
from saddlepoint.attacks.wrappers.foreign_runs import Call, run_of
from saddlepoint.threat import L0, L1, L2, Linf, ThreatModel

Built = tuple[Attack, Callable[[], object]]


@dataclass(frozen=True)
class Case:
    """A row of the table: our options in terms of the steps, and what is aimed at.

    Args:
        ours: label: (attack, options, {option: steps as a number}).
        once: peers too slow for a second run.
        aim: how many times faster than the fastest of `against`, with no worse a result.
    """

    title: str
    network: str
    threat: ThreatModel
    ours: dict[str, Callable[[int], tuple[str, dict[str, Any]]]]
    steps: int
    short: int
    aim: float
    against: tuple[str, ...]
    once: tuple[str, ...] = ()
    images: int | None = None
    targeted: bool = False
    minimum_norm: bool = field(default=True)


def plain(
    name: str, option: str = "steps", **more: Any
) -> Callable[[int], tuple[str, dict[str, Any]]]:
    return lambda steps: (name, {option: steps, **more})


CASES = {
    "pgd": Case(
        "PGD-20, Linf 2/255", "robust", Linf(EPS),
        {"saddlepoint": plain("pgd", step_size=EPS / 4)}, 20, 5,
        1.5, ("foolbox", "torchattacks", "ART"), images=100, minimum_norm=False,
    ),
    "apgd": Case(
        "APGD-CE 100, Linf 2/255", "robust", Linf(EPS), {"saddlepoint": plain("apgd")}, 100, 10,
        1.5, ("torchattacks",), images=100, minimum_norm=False,
    ),
    "deepfool": Case(
        "DeepFool, L2", "robust", L2(), {"saddlepoint": plain("deepfool")}, 50, 5,
        3, ("foolbox",), once=("ART",), images=60,
    ),
    "cw": Case(
        "C&W L2, 9×1000", "robust", L2(), {"saddlepoint": plain("cw-l2")}, 1000, 10,
        5, ("foolbox", "adv-lib"), ("foolbox", "adv-lib", "ART"), images=16,
    ),
    "ead": Case(
        "EAD L1 rule, 9×1000", "robust", L1(),
        {
            "saddlepoint": plain("ead", patience=20),
            "saddlepoint, 9×80": lambda steps: ("ead", {"steps": min(steps, 80)}),
        },
        1000, 10, 5, ("foolbox",), ("foolbox", "ART"), images=16,
    ),
    "ddn": Case(
        "DDN-200, L2", "robust", L2(), {"saddlepoint": plain("ddn")}, 200, 10,
        1.2, ("foolbox", "adv-lib"),
    ),
    "fmn-l2": Case(
        "FMN-200, L2", "robust", L2(), {"saddlepoint": plain("fmn")}, 200, 10,
        1.2, ("foolbox", "adv-lib"),
    ),
    "fmn-linf": Case(
        "FMN-200, Linf", "robust", Linf(), {"saddlepoint": plain("fmn")}, 200, 10,
        1.2, ("foolbox", "adv-lib"),
    ),
    # The steps of JSMA are thousandths of the features.
    "jsma": Case(
        "JSMA, θ 1, γ 1 %, targeted", "standard", L0(),
        {"saddlepoint": lambda steps: ("jsma", {"max_changed": steps / 1000})}, 10, 2,
        10, ("torchattacks", "ART"), ("torchattacks", "ART"), images=10, targeted=True,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rows, or norms")
    parser.add_argument("--images", type=int, help="images of every row; its own number otherwise")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run-robust", "--run-adversarial", type=Path)
    parser.add_argument("--run-standard", type=Path)
    parser.add_argument("--data", help="images for the runs; by default what they were trained on")
    parser.add_argument("--optimality", action="store_true")
    parser.add_argument("--half", choices=HALVES, default="held out")
    parser.add_argument("--networks", type=Path, default=Path("runs/optimality"))
    parser.add_argument("--book", type=Path, help="keeps what was measured; only the rest is run")
    args = parser.parse_args()
    known = NORMS if args.optimality else CASES
    if unknown := set(args.only) - set(known):
        parser.error(f"no {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    names = args.only or list(known)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    libraries = installed()
    torch.set_num_threads(args.threads)
    for name, reason in libraries.items():
        if reason is not None:
            print(f"({name} is skipped: {reason})")
    if args.optimality:
        table(names, args.half, args.networks, args.images or 16, args.book, libraries)
        return
    wanted = sorted({CASES[name].network for name in names})
    folders = {"robust": args.run_robust, "standard": args.run_standard}
    nets = subjects(wanted, folders, args.data, 300)
    print(
        f"torch {torch.__version__}, {args.threads} threads, {platform.machine()}, load"
        f" {os.getloadavg()[0]:.1f}; {'; '.join(net.name for net in nets.values())}"
    )
    for name in names:
        compare(name, nets[CASES[name].network], args, libraries)


def compare(name: str, net: Subject, args: argparse.Namespace, libraries: dict[str, Any]) -> None:
    """Print one row of the comparison."""
    case = CASES[name]
    count = args.images or case.images or 24
    images, labels = net.first(count, right=case.minimum_norm)
    targets = (labels + 1) % 10 if case.targeted else None
    ours = {
        label: partial(our_run, case, make, net.model, images, labels, targets)
        for label, make in case.ours.items()
    }
    theirs = {
        library: partial(their_run, name, library, net.model, images, labels, targets)
        for library in PEERS[name]
        if libraries[library] is None
    }
    builders = {**ours, **theirs}
    results, times = {}, {label: [] for label in builders}
    for label, build in list(builders.items()):
        try:
            build(case.short)[1]()
        except Exception as error:  # a peer that breaks is a line, not the end
            if label in ours:
                raise
            del builders[label], times[label]
            print(f"({label} is skipped: {type(error).__name__}: {error})")
    for label, build in builders.items():
        judged = build(case.steps)[0]
        began = now()
        results[label] = judged(net.model, images, labels, targets)
        if label in case.once:  # `foreign` adds three forward passes to thousands
            times[label].append(now() - began)
    for _ in range(args.repeats):
        for label, build in builders.items():
            if label not in case.once:
                run = build(case.steps)[1]
                began = now()
                run()
                times[label].append(now() - began)
    seconds = {label: statistics.median(values) for label, values in times.items()}
    bare = peak(lambda: bare_pass(net.model, images))
    buffers = {
        label: (peak(build(case.short)[1]) - bare) / images.nbytes
        for label, build in builders.items()
    }
    first = next(iter(ours))
    print(f"\n{name}: {case.title}; {len(images)} images, {net.name}")
    print(
        f"  {'':24}{'seconds':>9}{'/ ours':>8}{'passes':>14}{'result':>22}{'buffers':>9}  over bare"
    )
    for label, result in results.items():
        over = ""
        if label in ours:
            spent = replay(ours[label](case.steps)[1], result, net.model, images, args.repeats)
            over = f"{seconds[label] / spent:.2f}"
        note = NOTES.get((name, label))
        title = label if note is None else f"{label} ({note})"
        todo = ~result.initially_wrong
        passes = f"{mean(result.forwards[todo]):.0f}/{mean(result.backwards[todo]):.0f}"
        print(
            f"  {title:24}{seconds[label]:9.3f}{seconds[label] / seconds[first]:8.2f}{passes:>14}"
            f"{outcome(case, result):>22}{buffers[label]:9.1f}  {over}",
            flush=True,
        )
    verdict(case, first, results, seconds)


def our_run(
    case: Case, make: Callable[[int], tuple[str, dict[str, Any]]], model: nn.Module,
    images: Tensor, labels: Tensor, targets: Tensor | None, steps: int,
) -> Built:  # fmt: skip
    name, options = make(steps)
    attack = build_attack(name, case.threat, options)
    return attack, lambda: attack(model, images, labels, targets)


def their_run(
    name: str, library: str, model: nn.Module, images: Tensor, labels: Tensor,
    targets: Tensor | None, steps: int,
) -> Built:  # fmt: skip
    threat = CASES[name].threat
    setting = Setting(model, tuple(images.shape[1:]), len(images), EPS, steps)
    attack = PEERS[name][library](setting)
    goals = labels if targets is None else targets
    call = Call(model, images, goals, targets is not None, threat)
    return foreign(attack, threat), lambda: run_of(attack, {})(call)


def outcome(case: Case, result: AttackResult) -> str:
    if not case.minimum_norm:
        return f"robust {result.robust_accuracy:.3f}"
    found = result.success & ~result.initially_wrong
    failed = int((~result.success).sum())
    return f"{mean(result.distance[found]):.4f}, {failed} failed"


def verdict(
    case: Case, ours: str, results: dict[str, AttackResult], seconds: dict[str, float]
) -> None:
    """Say how much faster than the fastest of those aimed at, and against whom the result is worse."""
    present = [library for library in case.against if library in results]
    if not present:
        return
    fastest = min(present, key=seconds.__getitem__)
    ratio, mine = seconds[fastest] / seconds[ours], results[ours]
    worse = [library for library in present if not not_worse(case, mine, results[library])]
    equals = [
        library for library in results
        if library not in case.ours and not_worse(case, results[library], mine)
    ]  # fmt: skip
    met = ratio >= case.aim and not worse
    print(
        f"  {ratio:.2f} × faster than {fastest}, aim {case.aim:g} × with no worse a result:"
        f" {'met' if met else 'missed'}" + (f" (worse than {', '.join(worse)})" if worse else "")
    )
    if equals:
        best = min(equals, key=seconds.__getitem__)
        print(
            f"  fastest peer that is no worse: {best}, {seconds[best] / seconds[ours]:.2f} × ours"
        )
    else:
        print("  no peer's result is as good")


def not_worse(case: Case, a: AttackResult, b: AttackResult) -> bool:
    """Say whether a fools as many as b and, where both do, at no greater a mean distance."""
    if bool(a.success.sum() < b.success.sum()):
        return False
    both = a.success & b.success & ~a.initially_wrong
    return not case.minimum_norm or mean(a.distance[both]) <= mean(b.distance[both]) * (1 + 1e-4)


if __name__ == "__main__":
    main()
