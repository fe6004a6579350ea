"""A training step of our own networks against timm's and torchvision's, and what an attack costs on them.

    python benchmarks/models.py [--device cuda] [--repeats 15] [--batch 64] [--threads 1]

1. Forward and backward of each network of `PAIRS` and of the same network of timm or torchvision, in
   turn in one process. The ratio is of the medians; target: at most 1.05.
2. A pass of PGD-20 on each, against a bare loop of the same steps; target: at most 1.1.
3. What the record of the attention takes: nothing unless it is asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.threat import Linf
from saddlepoint.zoo import build_model, record_attention

STEPS, EPS, ALPHA = 20, 8 / 255, 2 / 255


def timm_vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=32, patch_size=4, embed_dim=96, depth=4, num_heads=3, num_classes=10
    )


def timm_swin() -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=32, patch_size=2, embed_dim=48, depths=(2, 2, 2), num_heads=(3, 6, 12),
        window_size=4, num_classes=10, drop_path_rate=0.0,
    )  # fmt: skip


def torchvision_resnet(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        net: nn.Module = getattr(torchvision.models, name)(num_classes=10)
        return net

    return build


PAIRS: dict[str, Callable[[], nn.Module]] = {
    "vit-micro": timm_vit,
    "swin-micro": timm_swin,
    "resnet18": torchvision_resnet("resnet18"),
    "resnet50": torchvision_resnet("resnet50"),
}
"""Our networks by name, and how the same one is built elsewhere."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import timm

    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    torch.manual_seed(0)
    images = torch.rand(args.batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (args.batch,), device=device)
    print(
        f"{args.batch} images of 3×32×32, {args.device}, {args.threads} threads,"
        f" torch {torch.__version__}, timm {timm.__version__}"
    )
    for name, theirs in PAIRS.items():
        ours = build_model(name, classes=10, shape=(3, 32, 32)).to(device)
        theirs_built = theirs().to(device)
        steps(name, ours, theirs_built, images, labels, args.repeats)
        attack(name, ours, images, max(3, args.repeats // 3))
        if device.type == "cuda" and name.endswith("-micro"):  # those with attention
            memory(name, ours, images)


def steps(
    name: str, ours: nn.Module, theirs: nn.Module, images: Tensor, labels: Tensor, repeats: int
) -> None:
    """Print what a training step takes in ours and in theirs."""

    def step(net: nn.Module) -> None:
        net.zero_grad(set_to_none=True)
        functional.cross_entropy(net(images), labels).backward()

    times = interleaved({"ours": lambda: step(ours), "peer": lambda: step(theirs)}, repeats, images)
    ratio = times["ours"] / times["peer"]
    print(
        f"  {name:12} step: ours {1000 * times['ours']:8.1f} ms, peer {1000 * times['peer']:8.1f} ms,"
        f" {ratio:.3f} × (target ≤ 1.05)"
    )


def attack(name: str, net: nn.Module, images: Tensor, repeats: int) -> None:
    """Print what a step of PGD takes in the guard and in a bare loop, where nothing is fooled."""
    net.eval().requires_grad_(False)
    with torch.no_grad():
        labels = net(images).argmax(1)
    eps = EPS / 1e4  # nobody leaves the batch

    def bare() -> None:
        x = (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
        for _ in range(STEPS):
            x = x.detach().requires_grad_()
            loss = functional.cross_entropy(net(x), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            x = x.detach() + eps / 4 * gradient.sign()
            x = x.clamp(images - eps, images + eps).clamp(0, 1)
        with torch.no_grad():
            net(x)

    def ours() -> None:
        found = PGD(Linf(eps), steps=STEPS, step_size=eps / 4)(net, images, labels)
        passes.append(int(found.forwards.sum() + found.backwards.sum()) / len(images))

    passes: list[float] = []
    times = interleaved({"ours": ours, "bare": bare}, repeats, images)
    # A bare loop has 20 passes each way and a last one forward.
    ratio = times["ours"] / statistics.median(passes) / (times["bare"] / (2 * STEPS + 1))
    print(
        f"  {name:12} PGD-{STEPS}: ours {times['ours']:6.2f} s, bare {times['bare']:6.2f} s,"
        f" {ratio:.3f} × for each pass (target ≤ 1.1)"
    )


def memory(name: str, net: nn.Module, images: Tensor) -> None:
    """Print the peak of a pass without a record, and with one."""
    for recorded in (False, True):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.no_grad():
            if recorded:
                with record_attention(net):
                    net(images)
            else:
                net(images)
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        print(f"  {name:12} peak {'with' if recorded else 'without'} a record: {peak:.1f} MiB")


def interleaved(
    rows: dict[str, Callable[[], None]], repeats: int, images: Tensor
) -> dict[str, float]:
    """Return the median seconds of each, run in turn after two rounds that warm up."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 2):
        for name, run in rows.items():
            synchronise(images)
            began = time.perf_counter()
            run()
            synchronise(images)
            if repeat >= 2:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def synchronise(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


if __name__ == "__main__":
    main()
