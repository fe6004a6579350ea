"""Does the verdict accuse what hides, and nothing else? The table of controls.

    python benchmarks/verdict_controls.py --folder runs/verdict --data-root FOLDER --out controls.json

Positive controls: a mask on a network, the check that must flag it, and the number that the remedies must
reach, which is that of the suite `standard` for the same network without the mask. Negative ones: honest
networks, none of which may be called broken, and at most one in twelve suspicious.
"""

from __future__ import annotations

import argparse
import io
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from verdict_networks import PLANS, SEEDS, network, test_images

from saddlepoint.answers import NO_CLASS
from saddlepoint.attacks import AcceptedAsOther, Criterion
from saddlepoint.defences import GaussianNoise, quantise
from saddlepoint.evaluation import Evaluation, evaluate
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.files import write_json
from saddlepoint.threat import Linf


class Rounded(nn.Module):
    """Rounds to sixteenths, as a module or as a function of the model: digits are of sixteenths, and
    in a budget of two of them the corners of the ball are, so that nothing is out of reach."""

    def forward(self, x: Tensor) -> Tensor:
        return (16 * x).round() / 16


class RoundedInside(nn.Module):
    """The same as a function within the forward pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((16 * x).round() / 16)  # type: ignore[no-any-return]


class _Killed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.zeros_like(gradients[0])


class GradientKiller(nn.Module):
    """The identity with a gradient of 0."""

    def forward(self, x: Tensor) -> Tensor:
        return _Killed.apply(x)  # type: ignore[no-any-return,no-untyped-call]


class Jpeg(nn.Module):
    """JPEG compression of quality 75 in front, outside torch."""

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for image in (255 * x.detach()).round().byte().cpu().numpy():
            picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=75)
            back = np.asarray(Image.open(buffer), dtype=np.float32) / 255
            found.append(torch.from_numpy(back.reshape(*back.shape[:2], -1).transpose(2, 0, 1)))
        return torch.stack(found).to(x)


class ReverseSigmoid(nn.Module):
    """Probabilities perturbed by a reverse sigmoid (Lee et al. 2018), which bends their gradient."""

    def __init__(self, net: nn.Module, beta: float = 0.7, gamma: float = 0.2) -> None:
        super().__init__()
        self.net, self.beta, self.gamma = net, beta, gamma

    def forward(self, x: Tensor) -> Tensor:
        p = self.net(x).softmax(1).clamp(1e-7, 1 - 1e-7)
        bent = p - self.beta * (torch.sigmoid(self.gamma * p.logit()) - 0.5)
        bent = bent.clamp_min(0)
        total: Tensor = bent / bent.sum(1, keepdim=True)
        return total


class RejectsUnsure(nn.Module):
    """An eleventh class wherever the margin is small."""

    def __init__(self, net: nn.Module, margin: float = 1.0) -> None:
        super().__init__()
        self.net, self.margin = net, margin

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        top = logits.topk(2, dim=1).values
        return torch.cat([logits, top[:, 1:] + self.margin], dim=1)


class NaNWhereDark(nn.Module):
    """No answer for images whose mean is low."""

    def __init__(self, net: nn.Module, least: float) -> None:
        super().__init__()
        self.net, self.least = net, least

    def forward(self, x: Tensor) -> Tensor:
        dark = x.flatten(1).mean(1) < self.least
        return torch.where(dark[:, None], torch.nan, self.net(x))


class DropoutAlways(nn.Module):
    """Dropout that stays on at inference."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.share, training=True)


class Steps(nn.Module):
    """Activations in steps of a quarter, without a gradient."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return (4 * self.inner(x)).round() / 4  # type: ignore[no-any-return]


def _before_logits(net: nn.Module, layer: nn.Module) -> nn.Module:
    net.net.head.logits = nn.Sequential(layer, net.net.head.logits)  # type: ignore[union-attr]
    return net


def _stepped(net: nn.Module) -> nn.Module:
    for block in net.net.blocks:  # type: ignore[union-attr]
        block.relu = Steps(block.relu)
    return net


def _weights_quantised(net: nn.Module) -> nn.Module:
    quantise(net, weight_bits=4, activation_bits=None)
    return net


@dataclass(frozen=True)
class Mask:
    """A positive control.

    Attributes:
        base: the network it is put on.
        put: the mask.
        flagged: the checks of which one must find it.
        target: the plain network whose number the remedies must reach; "" where 5 % is the target.
    """

    base: str
    put: Callable[[nn.Module], nn.Module]
    flagged: tuple[str, ...]
    target: str = ""
    criterion: Criterion | None = None


def _as_is(net: nn.Module) -> nn.Module:
    return net


_GRADIENT = ("zero-gradient", "gradient-agreement", "unbounded", "unstable-loss")
ROBUST, NORMAL = "digits-robust", "digits-normal"


def _in_front(layer: Callable[[], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    return lambda net: nn.Sequential(layer(), net)


MASKS: Mapping[str, Mask] = {
    "k-WTA": Mask("cifar-winners", _as_is, ("gradient-agreement", "unstable-loss")),
    "distilled at T = 100": Mask("mnist-distilled", _as_is, ("logit-scale",)),
    "activations in steps": Mask(NORMAL, _stepped, _GRADIENT, NORMAL),
    "4-bit input, module": Mask(ROBUST, _in_front(Rounded), _GRADIENT, ROBUST),
    "4-bit input, function": Mask(ROBUST, RoundedInside, _GRADIENT, ROBUST),
    "softmax on top": Mask(
        ROBUST, lambda n: nn.Sequential(n, nn.Softmax(1)), ("probabilities",), ROBUST
    ),
    "reverse sigmoid": Mask(ROBUST, ReverseSigmoid, ("probabilities", *_GRADIENT), ROBUST),
    "dropout": Mask(
        NORMAL,
        lambda n: _before_logits(n, DropoutAlways(0.3)),
        ("repeatable",),
        NORMAL,
    ),
    "Gaussian noise": Mask(NORMAL, _in_front(lambda: GaussianNoise(0.1)), ("repeatable",), NORMAL),
    "gradient killed": Mask(ROBUST, _in_front(GradientKiller), ("zero-gradient",), ROBUST),
    "JPEG in front": Mask(ROBUST, _in_front(Jpeg), _GRADIENT, ROBUST),
    "reject class": Mask(NORMAL, RejectsUnsure, ("answers",), "", AcceptedAsOther(10)),
    "NaN for dark images": Mask(ROBUST, lambda n: NaNWhereDark(n, 0.28), ("answers",), ROBUST),
    "single steps, overfitted": Mask(
        "mnist-overfit",
        _as_is,
        ("single-step",),
    ),
}
HONEST = ("digits-normal", "digits-robust", "cifar-normal", "cifar-robust")


def examined(
    model: nn.Module, name: str, images: int, criterion: Criterion | None = None, **options: Any
) -> tuple[Evaluation, float]:
    x, y = test_images(name, images)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = evaluate(
            model, (x, y), Linf(PLANS[name].eps), suite=options.pop("suite", "fast"),
            criterion=criterion, **options,
        )  # fmt: skip
    return record, time.process_time() - began


def stands(record: Evaluation) -> Tensor:
    return torch.tensor([who == "" for who in record.images["fooled_by"].to_pylist()])


@cache
def plain(name: str, seed: int, folder: Path, images: int) -> Tensor:
    """Return which images `standard` leaves of the network without a mask."""
    net = network(name, seed, folder)
    return stands(examined(net, name, images, suite="standard", diagnosis=None)[0])


def positive(title: str, seed: int, folder: Path, images: int) -> dict[str, Any]:
    mask = MASKS[title]
    model = mask.put(network(mask.base, seed, folder)).eval()
    record, seconds = examined(
        model, mask.base, images, mask.criterion, diagnosis=Diagnosis(adaptive=True)
    )
    target = 0.05
    if mask.target:
        # Where there is no answer the masked network is wrong.
        answered = torch.from_numpy(record.images["clean_prediction"].to_numpy() != NO_CLASS)
        target = float((plain(mask.target, seed, folder, images) & answered).double().mean())
    elif mask.criterion is not None:  # what may be rejected is another question: standard itself
        asked = {"suite": "standard", "diagnosis": None}
        itself, _ = examined(model, mask.base, images, mask.criterion, **asked)
        target = float(stands(itself).double().mean())
    assert record.verdict is not None
    more = next((s for s in record.verdict.supplements if s.name == "adaptive"), None)
    reached = more.numbers["budgets"][0]["robust_accuracy"]["value"] if more else None
    return {
        "verdict": record.verdict.judgement,
        "flagged": [each.check for each in record.verdict.flagged],
        "figures": {each.check: each.figure for each in record.verdict.findings},
        "clean": record.clean.value,
        "fast": record.budgets[0].robust_accuracy.value,
        "with_remedies": reached,
        "remedies": more.numbers["remedies"] if more else [],
        "target": target,
        "notes": list(record.notes),
        "seconds": seconds,
    }


def negative(name: str, seed: int, folder: Path, images: int, quantised: bool) -> dict[str, Any]:
    model = network(name, seed, folder)
    model = _weights_quantised(model) if quantised else model
    record, seconds = examined(model, name, images)
    assert record.verdict is not None
    return {
        "verdict": record.verdict.judgement,
        "flagged": [each.check for each in record.verdict.flagged],
        "figures": {each.check: each.figure for each in record.verdict.findings},
        "robust": record.budgets[0].robust_accuracy.value,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/verdict"))
    parser.add_argument("--data-root")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--masks", nargs="+", default=list(MASKS), choices=[*MASKS, "none"])
    parser.add_argument("--honest", nargs="*", default=list(HONEST))
    parser.add_argument(
        "--quantised", action="store_true", help="the honest ones with 4-bit weights"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data_root:
        os.environ["SADDLEPOINT_DATA"] = args.data_root
    found: dict[str, Any] = {}
    for seed in args.seeds:
        for title in args.masks if args.masks != ["none"] else []:
            found[f"{title}, {seed}"] = row = positive(title, seed, args.folder, args.images)
            after = "–" if row["with_remedies"] is None else f"{row['with_remedies']:.1%}"
            helped = [r["remedy"] for r in row["remedies"] if r["fooled"]]
            print(
                f"{title:26}{seed:3} {row['verdict']:12}{', '.join(row['flagged']):50}"
                f" clean {row['clean']:.1%} fast {row['fast']:.1%} remedies {after}"
                f" target {row['target']:.1%} {row['seconds']:.0f} s {helped}",
                flush=True,
            )
            if args.out:
                write_json(args.out, found)
        for name in args.honest:
            row = negative(name, seed, args.folder, args.images, args.quantised)
            found[f"{name}, {seed}"] = row
            print(
                f"{name:26}{seed:3} {row['verdict']:12}{', '.join(row['flagged'])}"
                f" robust {row['robust']:.1%} {row['seconds']:.0f} s",
                flush=True,
            )
            if args.out:
                write_json(args.out, found)


if __name__ == "__main__":
    main()
