"""Does attention move under attack further than under noise of the same budget, and does it follow the
patches that were changed?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation.look import SwinAttention, ViTAttention, attention_of
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.confined import random_corner, random_patches
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.spread import Spread
from saddlepoint.lab.table import Cell, Table
from saddlepoint.lab.vision_networks import VisionNetwork
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.threat import Linf, format_eps
from saddlepoint.training import train
from saddlepoint.zoo import Swin, ViT

_ROWS = 128  # images whose attention is held at once
CHANGES = ("PGD", "noise")
"""What is done to the images; the second is the control of the first."""


@dataclass(frozen=True)
class AttentionSettings(Settings):
    """Settings of `run_attention`; the epochs are the bench's.

    Args:
        patch: side of the patches of the vit-micro that is trained.
        seeds: trainings; of a given model there is one.
        budgets: Linf, in pixels, anywhere in the image.
        patches: how many whole patches an attack may change at will, chosen at random.
        steps: of PGD.

    >>> AttentionSettings(patches=(4, 1)).patches
    (1, 4)
    """

    patch: Count = 2
    seeds: Count = 3
    budgets: tuple[Positive, ...] = (2 / 255, 8 / 255, 32 / 255)
    patches: tuple[Count, ...] = (1, 2, 4)
    steps: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("budgets")
        self._sort("patches")


@dataclass(frozen=True, eq=False)
class Moved:
    """What one change of the images did in one network.

    Attributes:
        seed: of the network.
        confined: whether some patches were changed at will, or the whole image within a budget.
        size: the budget, or how many patches.
        change: "PGD", or "noise", a random corner of the same ball.
        clean: the share of images that were right before, which are the ones that are changed.
        length: of the change, in L2, the mean over the images.
        accuracy: on the changed images.
        divergence: by layer, in bits, the mean over the images.
        before, after: by layer the share of the class token's attention on the confined patches.
        even: what the share is where attention is even.
    """

    seed: int
    confined: bool
    size: float
    change: str
    clean: float
    length: float
    accuracy: float
    divergence: Mapping[str, float]
    before: Mapping[str, float]
    after: Mapping[str, float]
    even: float

    @property
    def where(self) -> str:
        """The size in words."""
        if not self.confined:
            return f"eps {format_eps(self.size)}"
        return f"{self.size:.0f} patch{'es' if self.size > 1 else ''}"


@dataclass(frozen=True, eq=False)
class AttentionUnderAttack:
    """What was found, case by case.

    >>> one = Moved(1, True, 2, "PGD", 0.9, 1.5, 0.5, {"0": 0.25}, {"0": 0.125}, {"0": 0.5}, 0.125)
    >>> AttentionUnderAttack((one,)).tables()["summary"].rows
    (('2 patches', 'PGD', 0.9, 1.5, 0.5, 0.25, nan, 0.125, 0.125, 0.5),)
    """

    cases: tuple[Moved, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Their names, from the first."""
        return tuple(self.cases[0].divergence)

    def of(self, confined: bool, change: str) -> dict[str, list[Moved]]:
        """Return the seeds of each size, by the size in words."""
        found: dict[str, list[Moved]] = {}
        for each in self.cases:
            if (each.confined, each.change) == (confined, change):
                found.setdefault(each.where, []).append(each)
        return found

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds and layers, and every layer of every seed."""
        rows: list[tuple[Cell, ...]] = []
        for confined in (False, True):
            for change in CHANGES:
                for where, cases in self.of(confined, change).items():
                    bits = Spread.of(mean_of(each.divergence.values()) for each in cases)
                    shares = (
                        Spread.of(mean_of(share.values()) for share in shares).mean
                        for shares in ([c.before for c in cases], [c.after for c in cases])
                    )
                    accuracy = Spread.of(each.accuracy for each in cases).mean
                    clean, length = (
                        Spread.of(getattr(each, name) for each in cases).mean
                        for name in ("clean", "length")
                    )
                    rows.append(
                        (where, change, clean, length, accuracy, *bits, cases[0].even, *shares)
                    )
        layers = tuple(
            (c.seed, c.where, c.change, name, bits, c.before.get(name, float("nan")),
             c.after.get(name, float("nan")))
            for c in self.cases for name, bits in c.divergence.items()
        )  # fmt: skip
        return {
            "summary": Table(
                ("where", "change", "clean", "L2", "accuracy", "divergence", "sd", "if even",
                 "share before", "after"),
                tuple(rows),
            ),
            "layers": Table(
                ("seed", "where", "change", "layer", "divergence", "share before", "after"), layers
            ),
        }  # fmt: skip


def run_attention(bench: Bench, settings: AttentionSettings) -> AttentionUnderAttack:
    """Train a vit-micro, or take the model that is given, and watch its attention while images change.

    PGD goes on for all its steps, within a budget anywhere or at will inside some patches; the
    control is a random corner of the same ball. Only images that are right are
    looked at. The divergence is that of Jensen and Shannon, averaged over heads, tokens and images.

    Raises `InputError` for a given model without attention of this package, for more patches than
    there are, and where no image is right.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=40)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = AttentionSettings(patch=4, seeds=1, budgets=(0.1,), patches=(1,), steps=2)
    >>> found = run_attention(Bench(test, lambda: train, epochs=1), settings)
    >>> len(found.cases), len(found.layers), found.cases[2].even
    (4, 4, 0.25)
    """
    if bench.given is not None:
        return AttentionUnderAttack(tuple(_watched(bench.given, bench, settings, 1)))
    course = Course(bench.progress, settings.seeds)
    network = VisionNetwork("vit-micro", "vit", {"patch": settings.patch})
    cases: list[Moved] = []
    for i in range(settings.seeds):
        seed = derive(bench.seed, "repetition", i)
        model = train(
            network.build(bench.train, seed).to(bench.device), bench.train,
            network.recipe_of(bench.epochs, bench.test.shape), seed=seed,
            progress=course.next(f"seed {i + 1}"),
        ).model  # fmt: skip
        cases += _watched(model.eval(), bench, settings, i + 1)
    return AttentionUnderAttack(tuple(cases))


def _watched(
    model: nn.Module, bench: Bench, settings: AttentionSettings, number: int
) -> Iterable[Moved]:
    side = _patch_of(model)
    right = predictions(model, bench.images)[0] == bench.labels
    if not bool(right.any()):
        raise InputError("no image is right; give more of them, or train for more epochs")
    x, y, clean = bench.images[right], bench.labels[right], float(right.double().mean())
    data = TensorData.of(x, y, name="right", split="test", classes=bench.test.classes)
    for size, confined in (
        *((eps, False) for eps in settings.budgets),
        *((k, True) for k in settings.patches),
    ):
        mask = None
        if confined:
            mask = random_patches(x, side, int(size), derive(bench.seed, "patches", number))
        attack = PGD(Linf(1.0 if confined else size), steps=settings.steps, stop="never")
        moved = torch.cat(
            [
                attack(
                    model, x[ids], y[ids], seed=bench.seed, ids=ids,
                    mask=None if mask is None else mask[ids],
                ).adversarials
                for ids in torch.split(torch.arange(len(data), device=x.device), 4 * _ROWS)
            ]
        )  # fmt: skip
        budget = 1.0 if confined else size
        noise = random_corner(x, budget, mask, derive(bench.seed, "noise", number))
        for change, images in zip(CHANGES, (moved, noise), strict=True):
            bits, before, after, even = _attention(model, x, images, mask, side)
            accuracy = float((predictions(model, images)[0] == y).double().mean())
            length = float((images - x).double().flatten(1).norm(dim=1).mean())
            yield Moved(
                number, confined, size, change, clean, length, accuracy, bits, before, after, even
            )


def _attention(
    model: nn.Module, x: Tensor, images: Tensor, mask: Tensor | None, side: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float], float]:
    """Return by layer the divergence and the shares on the masked patches, before and after, all of
    them means over the images; and the share that even attention has.
    """
    chosen = None if mask is None else mask[:, :1, ::side, ::side].flatten(1).cpu()
    found: tuple[dict[str, list[Tensor]], ...] = ({}, {}, {})
    for rows in torch.split(torch.arange(len(x)), _ROWS):
        seen, later = attention_of(model, x[rows]), attention_of(model, images[rows])
        if isinstance(seen, ViTAttention) and isinstance(later, ViTAttention):
            parts = [seen.divergence(later)]
            if chosen is not None:
                parts += [each.share_on(chosen[rows]) for each in (seen, later)]
        elif isinstance(seen, SwinAttention) and isinstance(later, SwinAttention):
            parts = [seen.divergence(later)]
        for part, into in zip(parts, found, strict=False):
            for name, values in part.items():
                into.setdefault(name, []).append(values)
    bits, before, after = (
        {name: float(torch.cat(values).double().mean()) for name, values in part.items()}
        for part in found
    )
    return bits, before, after, float("nan") if chosen is None else float(chosen.double().mean())


def _patch_of(model: nn.Module) -> int:
    for each in model.modules():
        if isinstance(each, ViT | Swin):
            return each.design.patch
    raise InputError(
        f"{type(model).__name__} has no attention of this package; give zoo:vit-… or zoo:swin-…"
    )


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of what is there.

    >>> mean_of([1.0, float("nan")])
    1.0
    """
    return Spread.of(values).mean
