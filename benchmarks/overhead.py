"""What the contract costs: PGD-20 against a bare loop of the same passes, in one process.

    python benchmarks/overhead.py [--device cuda] [--repeats 7] [--batch 128]

Questions on a CIFAR ResNet-20 (trained for a moment on digits enlarged to 32×32, so nothing is
downloaded):

1. Where nothing is fooled early, does a pass cost more than in a bare loop? The bare loop has 20
   forwards and input-gradient backwards, step, projection, and one last forward; ours has at most
   two forwards more (clean check and judge).
2. On the undefended network, what do finished samples save by leaving the batch?
3. How much memory does it take?
4. What is the cost on networks so small that a step is mostly overhead? There the bare loop makes
   the clean check and the judge's forward as well.

torchattacks and foolbox are timed beside them where they are installed. Ratios are of medians over
interleaved runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

STEPS, EPS, ALPHA = 20, 8 / 255, 2 / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--memory-of", choices=("bare", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = torch.device(args.device)
    model, images, labels = subject(args.batch, device, epochs=0 if args.memory_of else 4)
    if args.memory_of:
        loop = bare_loop if args.memory_of == "bare" else our_loop
        print(peak_memory(lambda: loop(model, images, labels, 1e-5), device, model, images))
        return
    threads = torch.get_num_threads()
    print(f"ResNet-20, batch {len(images)}, {device}, {threads} threads, torch {torch.__version__}")

    print(f"\n1. nothing is fooled early (eps 1e-5): {STEPS} steps for every image")
    small = 1e-5
    result = PGD(Linf(small), steps=STEPS, step_size=small / 4)(model, images, labels)
    assert not bool(result.success.any()), "an image was fooled: the comparison would not be fair"
    rows = {
        "bare loop": lambda: bare_loop(model, images, labels, small),
        "with copies": lambda: bare_loop(Copying(model), images, labels, small),
        "saddlepoint": lambda: our_loop(model, images, labels, small),
        "one forward": lambda: forward(model, images),
        **peers(model, images, labels, small),
    }
    times = interleaved(rows, args.repeats, device)
    allowed = times["bare loop"] + 2 * times["one forward"]
    report({name: seconds for name, seconds in times.items() if name != "one forward"})
    print(
        f"  passes per image: {int(result.forwards[0])} forward, {int(result.backwards[0])} backward"
    )
    ratio = times["saddlepoint"] / allowed
    print(f"  saddlepoint / (bare loop + 2 forwards) = {ratio:.3f}   (target ≤ 1.05)")
    copies = times["with copies"] / times["bare loop"]
    print(
        f"  bare loop with copies of input and output / bare loop = {copies:.3f}   (target ≤ 1.03)"
    )

    print("\n2. undefended network, eps 8/255: finished images leave the batch")
    result = PGD(Linf(EPS), steps=STEPS, step_size=ALPHA)(model, images, labels)
    rows = {
        "bare loop": lambda: bare_loop(model, images, labels, EPS),
        "saddlepoint": lambda: our_loop(model, images, labels, EPS),
        **peers(model, images, labels, EPS),
    }
    times = interleaved(rows, args.repeats, device)
    report(times)
    passes = float(result.forwards.double().mean())
    print(f"  attack success {result.success_rate:.3f}, forward passes per image {passes:.1f}")
    print(
        f"  bare loop / saddlepoint = {times['bare loop'] / times['saddlepoint']:.2f}   (target ≥ 2)"
    )

    print("\n3. peak memory above the model and its images")
    peaks = {name: memory_of(name, args) for name in ("bare", "ours")}
    for name, peak in peaks.items():
        print(f"  {name:12} {peak / 2**20:8.1f} MiB")
    print(f"  saddlepoint / bare loop = {peaks['ours'] / peaks['bare']:.3f}   (target ≤ 1.1)")

    print(
        "\n4. small networks, 28×28 pixels, nothing is fooled; clean check and judge on both sides"
    )
    for name, net in small_networks().items():
        small_ratio(name, net.to(device), args, device)


def small_networks() -> dict[str, nn.Module]:
    """Return untrained networks of 124 and 51 thousand parameters."""
    torch.manual_seed(0)
    convolutions = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 75), nn.ReLU(), nn.Linear(75, 10),
    )  # fmt: skip
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    return {"convolutional": convolutions.eval(), "MLP": mlp.eval()}


def small_ratio(name: str, net: nn.Module, args: argparse.Namespace, device: torch.device) -> None:
    """Print the ratio on the images of a random many whose class is surest."""
    pixels = torch.rand(4000, 1, 28, 28, device=device)
    first, second = forward(net, pixels).topk(2).values.T
    images = pixels[(first - second).argsort(descending=True)[: args.batch]]
    labels, eps = forward(net, images).argmax(1), 1e-3
    assert not bool(our_loop(net, images, labels, eps).any()), "the comparison would not be fair"

    def bare() -> None:
        forward(net, images)
        bare_loop(net, images, labels, eps)
        forward(net, images)

    rows = {"bare loop": bare, "saddlepoint": lambda: our_loop(net, images, labels, eps)}
    times = interleaved(rows, 3 * args.repeats, device)
    ratio = times["saddlepoint"] / times["bare loop"]
    print(f"  {name}: saddlepoint / bare loop = {ratio:.2f}")


def subject(
    count: int, device: torch.device, epochs: int, name: str = "resnet20"
) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network of the zoo and `count` images that it classifies correctly."""
    data = load_data("digits", split="all")
    pixels = functional.interpolate(data.images(torch.arange(len(data))), size=(32, 32))
    enlarged = TensorData.of(
        pixels.expand(-1, 3, -1, -1).contiguous(), data.labels, name="digits-32"
    )
    net = build_model(f"zoo:{name}", classes=10, shape=(3, 32, 32))
    model = Normalised(net, (0.5,) * 3, (0.25,) * 3).to(device)
    images, labels = enlarged.images(torch.arange(len(data))).to(device), data.labels.to(device)
    if epochs:
        train(
            model,
            enlarged.to(device),
            Recipe(epochs=epochs, optimiser=Optimiser(learning_rate=0.05)),
        )
    model.eval()
    with torch.no_grad():
        predictions = torch.cat([model(part).argmax(1) for part in images.split(256)])
    if not epochs:
        labels = predictions
    right = (predictions == labels).nonzero().squeeze(1)[:count]
    assert len(right) == count, "the network is not trained well enough"
    return model, images[right], labels[right]


def bare_loop(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Return the last logits of PGD written with nothing around it."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    step = ALPHA if eps == EPS else eps / 4
    x = (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        loss = functional.cross_entropy(model(x), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x.detach() + step * gradient.sign()).clamp(images - eps, images + eps).clamp(0, 1)
    with torch.no_grad():
        return model(x)


class Copying(nn.Module):
    """A model that is given and gives copies, as in the guard."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.clone()
        if inputs.requires_grad:
            inputs.retain_grad()
        logits: Tensor = self.net(inputs).clone()
        return logits


def our_loop(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    step = ALPHA if eps == EPS else eps / 4
    return PGD(Linf(eps), steps=STEPS, step_size=step)(model, images, labels).success


def forward(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)


def peers(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float
) -> dict[str, Callable[[], object]]:
    """Return the same attack by the libraries that are installed."""
    found: dict[str, Callable[[], object]] = {}
    step = ALPHA if eps == EPS else eps / 4
    try:
        import torchattacks

        theirs = torchattacks.PGD(model, eps=eps, alpha=step, steps=STEPS)
        found["torchattacks"] = lambda: theirs(images, labels)
    except ImportError:
        print("  (torchattacks is not installed: pip install 'saddlepoint[bench]')")
    try:
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=STEPS)
        found["foolbox"] = lambda: attack(wrapped, images, labels, epsilons=eps)
    except ImportError:
        print("  (foolbox is not installed: pip install 'saddlepoint[bench]')")
    return found


def interleaved(
    rows: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Return the median seconds of each, run in turn after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 1):
        for name, run in rows.items():
            synchronise(device)
            began = time.perf_counter()
            run()
            synchronise(device)
            if repeat:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(times: dict[str, float]) -> None:
    for name, seconds in times.items():
        print(f"  {name:12} {seconds:8.3f} s   {seconds / times['bare loop']:6.2f} × bare loop")


def memory_of(name: str, args: argparse.Namespace) -> int:
    """Return the peak of one loop in a fresh process, so that no other leaves its buffers behind."""
    options = ["--memory-of", name, "--device", args.device, "--batch", str(args.batch)]
    # glibc then gives every large block back at once; otherwise the peak is its cache's, and varies.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, __file__, *options],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return int(done.stdout.split()[-1])


def peak_memory(
    run: Callable[[], object], device: torch.device, model: nn.Module, images: Tensor
) -> int:
    """Return the bytes that `run` needs at its peak above what is there before it."""
    forward(model, images[:2])
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (Linux)
    run()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
