"""What the suite "fast" leaves beside "standard" and pyautoattack, and what each costs.

    python benchmarks/suites.py --networks cifar-robust mnist-fgsm --half "held out" \\
        --data-root FOLDER --out suites.json

On networks of optimality_networks.py (trained where no file is found): images left standing, those
that only one of the two suites leaves, passes an image, processor seconds, and by how many MiB the
memory of the process grew at most. One thread; each suite has a process of its own, forked from one in
which all is imported. The budgets are those at which a part is fooled. pyautoattack is run where it is
installed.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attack_networks import Subject
from optimality_networks import PLANS, subject
from torch import Tensor

from saddlepoint.evaluation import Diagnosis, evaluate
from saddlepoint.files import write_json
from saddlepoint.threat import L1, L2, Linf, NormBall

# A budget for each norm and network.
BUDGETS = {
    "mnist-pgd": (0.3, 1.5, 8.0), "mnist-fgsm": (0.12, 1.0, 6.0),
    "cifar-robust": (4 / 255, 0.5, 8.0), "cifar-normal": (1 / 255, 0.1, 1.0),
    "distilled": (0.12, 1.2, 8.0), "quantised": (0.05, 0.8, 4.0),
}  # fmt: skip
NORMS: dict[str, Callable[[float], NormBall]] = {"Linf": Linf, "L2": L2, "L1": L1}
_BLOCK = 50  # images at once, for all alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--half", default="held out")
    parser.add_argument("--norms", nargs="+", default=["Linf"], choices=list(NORMS))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/optimality"))
    parser.add_argument("--suites", nargs="+", default=["fast", "standard"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for network in args.networks:
        net = subject(network, args.half, args.folder)
        for place, norm in enumerate(NORMS):
            if norm not in args.norms:
                continue
            threat = NORMS[norm](BUDGETS[network][place])
            title = f"{threat}, {net.name}"
            found[title] = row = measure(net, threat, args.suites, args.images)
            show(title, row)
            if args.out:
                write_json(args.out, found)


def measure(net: Subject, threat: NormBall, suites: list[str], count: int) -> dict[str, Any]:
    """Return what each suite leaves of the first `count` images that are right, and its cost."""
    images, labels = net.first(count, right=True)
    row: dict[str, Any] = {}
    for name in suites:
        row[name] = apart(partial(by_suite, net, threat, name, images, labels))
    if library := peer():
        row["pyautoattack"] = apart(partial(by_pyautoattack, library, net, threat, images, labels))
    return row


def apart(work: Callable[[], tuple[list[bool], float]]) -> dict[str, Any]:
    """Return what `work` leaves and its passes, its seconds, and by how many MiB memory grew at most."""
    context = multiprocessing.get_context("fork")
    result, answer = context.Pipe(duplex=False)

    def child() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        held = pages * resource.getpagesize()
        began = time.process_time()
        left, passes = work()
        seconds = time.process_time() - began
        most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mib = (most - held) / 2**20
        answer.send({"left": left, "passes": passes, "seconds": seconds, "mib": mib})

    process = context.Process(target=child)
    process.start()
    answer.close()  # so that a child that fails ends the wait
    row: dict[str, Any] = result.recv()
    process.join()
    return row


def by_suite(
    net: Subject, threat: NormBall, name: str, images: Tensor, labels: Tensor
) -> tuple[list[bool], float]:
    """Return which images are left, and the passes of one in the mean, those of the checks among them;
    only `fast` is examined, as its default has it.
    """
    examined = Diagnosis() if name == "fast" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = evaluate(
            net.model, (images, labels), threat, suite=name, batch_size=_BLOCK, diagnosis=examined
        )
    standing = [who == "" for who in record.images["fooled_by"].to_pylist()]
    passes = record.budgets[0].forwards + record.budgets[0].backwards
    if record.verdict is not None:
        checks = record.verdict.passes / len(images)
        print(
            f"  {record.verdict.sentence}; checks {checks:.0f} passes an image of {passes:.0f}",
            flush=True,
        )
        passes += checks
    return standing, passes


def peer() -> Any:
    """Return pyautoattack; None where it is not installed."""
    try:
        return importlib.import_module("pyautoattack")
    except ImportError:
        return None


def by_pyautoattack(
    library: Any, net: Subject, threat: NormBall, images: Tensor, labels: Tensor
) -> tuple[list[bool], float]:
    """Return the same of pyautoattack's standard version."""
    counted = _Counted(net.model)
    eps = float(torch.as_tensor(threat.eps))
    theirs = library.AutoAttack(
        counted, norm=threat.norm_name, eps=eps, version="standard", device="cpu", seed=0
    )
    found = theirs.run_standard_evaluation(images, labels, batch_size=_BLOCK)
    adversarials = found[0] if isinstance(found, tuple) else found
    with torch.no_grad():
        left = net.model(adversarials).argmax(1) == labels
    passes = (counted.forwards + counted.backwards) / len(images)
    return left.tolist(), passes


class _Counted(torch.nn.Module):
    """The model of a peer, which counts the images of its passes each way."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            self.backwards += len(x)
        logits: Tensor = self.model(x)
        return logits


def show(title: str, row: dict[str, Any]) -> None:
    """Print the row; ratios are to "standard"."""
    print(f"\n{title}: {len(row['fast']['left'])} images")
    base = row.get("standard", row["fast"])
    for name, each in row.items():
        left, other = torch.tensor(each["left"]), torch.tensor(base["left"])
        print(
            f"  {name:14}{int(left.sum()):6} left{int((left & ~other).sum()):5} it alone"
            f"{int((other & ~left).sum()):5} standard alone{each['passes']:9.0f} passes"
            f" (1/{base['passes'] / each['passes']:.1f}){each['seconds']:9.1f} s"
            f" (1/{base['seconds'] / each['seconds']:.1f}){each['mib']:8.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
