"""What attacks cost on a device: each against a bare loop of the same passes, in one process.

    python benchmarks/on_device.py [--device cuda] [--repeats 5] [--networks preactresnet18:128]

The networks are trained for a moment on digits enlarged to 32×32, and the budget of PGD and APGD is
so small that nothing is fooled early: every image takes every step. The bare loop has as many
forward passes with and without an input gradient, a sign step and a clip each, and nothing else, in
the precision of the attack's loop; an attack's clean check and judge are in IEEE float32 whatever
that is. Times are medians over interleaved runs, images per second those of a whole attack, and
memory is the peak above the model and its images (CUDA only). With `--suite` the attacks of
"standard" run once at 8/255, each on the survivors of those before.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from overhead import subject
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import APGD, DDN, FMN, MINIMUM_NORM, PGD, Attack
from saddlepoint.evaluation import build_suite
from saddlepoint.model import full_precision
from saddlepoint.threat import L2, Linf

EPS = 1e-5
STEPS = 20
# The loop's precision ("tf32" is torch's default for convolutions on CUDA), and the layout.
WAYS = (("ieee", False), ("tf32", False), ("tf32", True), ("bf16", True))


@dataclass(frozen=True, eq=False)
class Case:
    """A network, images that it classifies correctly, and how passes run."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    precision: str

    @property
    def device(self) -> torch.device:
        return self.images.device

    def run(self, attack: Attack) -> object:
        return attack(self.model, self.images, self.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", default="preactresnet18:128,resnet20:512")
    parser.add_argument("--suite", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"\n{'':48}{'bare s':>8}{'ours s':>8}{'ratio':>7}{'images/s':>9}{'MiB':>13}  passes")
    for word in args.networks.split(","):
        name, _, batch = word.partition(":")
        model, images, labels = subject(int(batch), device, 3, name)
        for precision, last in WAYS:
            form = torch.channels_last if last else torch.contiguous_format
            case = Case(
                model.to(memory_format=form),
                images.contiguous(memory_format=form),
                labels,
                precision,
            )
            title = f"{name} {batch} {precision}{' channels last' if last else ''}"
            with precisely(precision, device):
                for label, attack in attacks(precision).items():
                    print(f"{title:42}{label:6}{row(attack, case, args.repeats)}", flush=True)
                    title = ""
    if args.suite:
        run_suite(case)


@contextlib.contextmanager
def precisely(precision: str, device: torch.device) -> Iterator[None]:
    with full_precision(device) if precision == "ieee" else contextlib.nullcontext():
        yield


def attacks(precision: str) -> dict[str, Attack]:
    half = "bf16" if precision == "bf16" else None
    return {
        "pgd": PGD(Linf(EPS), steps=STEPS, autocast=half),
        "apgd": APGD(Linf(EPS), steps=STEPS, autocast=half),
        "ddn": DDN(L2(), steps=STEPS, autocast=half),
        "fmn": FMN(Linf(), steps=STEPS, autocast=half),
    }


def row(attack: Attack, case: Case, repeats: int) -> str:
    result = attack(case.model, case.images, case.labels)
    forwards, backwards = (
        round(float(each.double().mean())) for each in (result.forwards, result.backwards)
    )
    bare, ours = interleaved(
        (lambda: bare_loop(case, forwards, backwards), lambda: case.run(attack)),
        repeats,
        case.device,
    )
    found = f", median distance {float(result.distance.median()):.5f}"
    return (
        f"{bare.seconds:8.4f}{ours.seconds:8.4f}{ours.seconds / bare.seconds:7.3f}"
        f"{len(case.images) / ours.seconds:9.0f}{bare.peak / 2**20:7.0f}{ours.peak / 2**20:6.0f}"
        f"  {forwards} / {backwards}{found if attack.kind is MINIMUM_NORM else ''}"
    )


def bare_loop(case: Case, forwards: int, backwards: int) -> Tensor:
    """Return the last logits of as many passes with nothing around them."""
    images, labels = case.images, case.labels
    for parameter in case.model.parameters():
        parameter.requires_grad_(False)
    half = torch.autocast(case.device.type, torch.bfloat16, enabled=case.precision == "bf16")
    x = images.clone()
    for _ in range(backwards):
        x = x.detach().requires_grad_()
        with half:
            logits = case.model(x)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach() + EPS / 4 * gradient.sign()
        x = x.clamp(images - EPS, images + EPS).clamp(0, 1)
    with torch.no_grad(), half:
        for _ in range(max(1, forwards - backwards)):
            logits = case.model(x)
    return logits


@dataclass(frozen=True)
class Cost:
    """The median seconds of a run, and its peak of memory in bytes (0 on a CPU)."""

    seconds: float
    peak: int


def interleaved(
    runs: tuple[Callable[[], object], ...], repeats: int, device: torch.device
) -> list[Cost]:
    """Return what each costs, run in turn after one warm-up round."""
    rounds = [[measured(run, device) for run in runs] for _ in range(repeats + 1)][1:]
    return [
        Cost(statistics.median(c.seconds for c in costs), max(c.peak for c in costs))
        for costs in zip(*rounds, strict=True)
    ]


def measured(run: Callable[[], object], device: torch.device) -> Cost:
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    began = time.perf_counter()
    run()
    if not cuda:
        return Cost(time.perf_counter() - began, 0)
    torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    return Cost(seconds, torch.cuda.max_memory_allocated(device) - before)


def run_suite(case: Case) -> None:
    """Print what each attack of "standard" took on the survivors of those before."""
    print(f"\nstandard at 8/255, {len(case.images)} images, torch's default precision")
    x, labels = case.images, case.labels
    for name, attack in build_suite("standard", Linf(8 / 255)).items():
        if not len(x):
            return
        results = []
        cost = measured(
            lambda a=attack, r=results, x=x, y=labels: r.append(a(case.model, x, y)), case.device
        )
        passes = [int(each.sum()) for each in (results[0].forwards, results[0].backwards)]
        standing = ~results[0].success
        print(
            f"  {name:8}{len(x):5} images, {int(standing.sum()):4} stand,{cost.seconds:8.2f} s,"
            f"{len(x) / cost.seconds:9.1f} images/s, {passes[0]} / {passes[1]} passes in all",
            flush=True,
        )
        x, labels = x[standing], labels[standing]


if __name__ == "__main__":
    main()
