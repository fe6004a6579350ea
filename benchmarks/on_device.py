"""What attacks cost on a device: each against a bare loop of the same passes, in one process.

    python benchmarks/on_device.py [--device cuda] [--repeats 5] [--networks preactresnet18:256,resnet20:512]

The network has random weights and the labels are its own predictions; the budget is so small that
nothing is fooled early, so that every image takes every step. The bare loop has as many forward
passes with and without an input gradient, a sign step and a clip each, and nothing else. Times are
medians over interleaved runs, images per second those of a whole attack, and memory is the peak
above the model and its images (CUDA only). With `--suite` the four attacks of the suite "standard"
run once, on a batch of the last network.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import APGD, DDN, FMN, PGD, Attack
from saddlepoint.evaluation import build_suite
from saddlepoint.model import Normalised
from saddlepoint.threat import L2, Linf
from saddlepoint.zoo import build_model

EPS = 1e-5
STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", default="preactresnet18:256,resnet20:512")
    parser.add_argument("--suite", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"\n{'':46}{'bare s':>9}{'ours s':>9}{'ratio':>7}{'images/s':>10}{'MiB':>14}")
    for word in args.networks.split(","):
        name, _, batch = word.partition(":")
        for last in (False, True):
            subject = prepared(name, int(batch), device, last)
            for half in (None, "bf16"):
                layout = "channels last" if last else "contiguous"
                title = f"{name} {batch} {half or 'fp32'} {layout}"
                for label, attack in attacks(half).items():
                    print(f"{title:40}{label:6}{row(attack, subject, args.repeats)}", flush=True)
                    title = ""
    if args.suite:
        run_suite(subject)


class Subject:
    """A network with its images, and what runs on it."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels


def prepared(name: str, batch: int, device: torch.device, channels_last: bool) -> Subject:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, 32, 32, generator=generator).to(device)
    net = build_model(f"zoo:{name}", classes=10, shape=(3, 32, 32))
    model = Normalised(net, (0.5,) * 3, (0.25,) * 3).to(device).eval().requires_grad_(False)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        labels = model(images).argmax(1)
    return Subject(model, images, labels)


def attacks(half: str | None) -> dict[str, Attack]:
    return {
        "pgd": PGD(Linf(EPS), steps=STEPS, autocast=half),
        "apgd": APGD(Linf(EPS), steps=STEPS, autocast=half),
        "ddn": DDN(L2(), steps=STEPS, autocast=half),
        "fmn": FMN(Linf(), steps=STEPS, autocast=half),
    }


def row(attack: Attack, subject: Subject, repeats: int) -> str:
    result = attack(subject.model, subject.images, subject.labels)
    forwards, backwards = (
        round(float(each.double().mean())) for each in (result.forwards, result.backwards)
    )
    runs = {
        "bare": lambda: bare_loop(subject, forwards, backwards, attack.autocast is not None),
        "ours": lambda: attack(subject.model, subject.images, subject.labels),
    }
    times = interleaved(runs, repeats, subject.images.device)
    memory = [peak(run, subject.images.device) for run in runs.values()]
    shown = " / ".join(f"{each / 2**20:.0f}" for each in memory) if all(memory) else "-"
    return (
        f"{times['bare']:9.4f}{times['ours']:9.4f}{times['ours'] / times['bare']:7.3f}"
        f"{len(subject.images) / times['ours']:10.0f}{shown:>14}   {forwards} / {backwards} passes"
    )


def bare_loop(subject: Subject, forwards: int, backwards: int, half: bool) -> Tensor:
    """Return the last logits of as many passes with nothing around them."""
    images, labels = subject.images, subject.labels
    cast = torch.autocast(images.device.type, torch.bfloat16, enabled=half)
    x = images.clone()
    for _ in range(backwards):
        x = x.detach().requires_grad_()
        with cast:
            logits = subject.model(x)
        loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        x = x.detach() + EPS / 4 * gradient.sign()
        x = x.clamp(images - EPS, images + EPS).clamp(0, 1)
    with torch.no_grad(), cast:
        for _ in range(max(1, forwards - backwards)):
            logits = subject.model(x)
    return logits


def interleaved(
    runs: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Return the median seconds of each, run in turn after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            seconds = timed(run, device)
            if repeat:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def timed(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(run: Callable[[], object], device: torch.device) -> int:
    """Return the bytes that `run` needs at its peak above what is there before it; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def run_suite(subject: Subject) -> None:
    """Print the time of each attack of "standard" on one batch, beside that of its passes."""
    device = subject.images.device
    print("\nstandard, the last network above, fp32, nothing is fooled")
    for name, attack in build_suite("standard", Linf(EPS)).items():
        results = []
        seconds = timed(
            lambda attack=attack, results=results: results.append(
                attack(subject.model, subject.images, subject.labels)
            ),
            device,
        )
        counts = [
            round(float(each.double().mean()))
            for each in (results[0].forwards, results[0].backwards)
        ]
        bare = timed(lambda counts=counts: bare_loop(subject, *counts, half=False), device)
        print(
            f"  {name:8}{bare:9.3f}{seconds:9.3f}{seconds / bare:7.3f}"
            f"{len(subject.images) / seconds:10.1f}   {counts[0]} / {counts[1]} passes",
            flush=True,
        )


if __name__ == "__main__":
    main()
