"""Do adversarial images that one network is surer of fool another one more often?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.attacks import PGD, CarliniWagnerL2
from saddlepoint.data import ImageData, TensorData
from saddlepoint.defences import AdversarialTraining
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.aims import answers, random_classes
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.climbs import logits_of
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, NonNegative, check_fields
from saddlepoint.streams import Keys, derive
from saddlepoint.threat import L2, Linf
from saddlepoint.threat.norms import expand, unit

AIMS = ("any other class", "a given class")
NOISE = "noise as long"


@dataclass(frozen=True)
class TransferSettings:
    """Settings of `run_transfer`.

    Args:
        confidence: κ, as multiples of the median margin of the attacked network's answers.
        steps: of Adam per c, at most.
        searches: values of c, at most.

    >>> TransferSettings().confidence[0]
    0.0
    """

    confidence: tuple[NonNegative, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    steps: Count = 200
    searches: Count = 5

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "confidence", tuple(sorted(set(self.confidence))))


@dataclass(frozen=True, eq=False)
class Offered:
    """What one kind of attack on the source came to.

    Attributes:
        distance: (k, n) L2 distances; infinity where the source was not fooled.
        sure: (k, n) the source is fooled with a margin of κ.
        fooled: by network, (k, n) whether it takes the image for the class of the attack's aim.

    >>> Offered(torch.zeros(1, 2), torch.ones(1, 2) > 0, {}).sure.all()
    tensor(True)
    """

    distance: Float[Tensor, "k n"]
    sure: Bool[Tensor, "k n"]
    fooled: Mapping[str, Bool[Tensor, "k n"]]


@dataclass(frozen=True, eq=False)
class TransferConfidence:
    """Transfer by κ.

    Attributes:
        relative: the k settings of confidence.
        margin: the median margin of the source on the clean images; κ is `relative` times it.
        right: (n,) the images that every network classifies rightly; shares are of these.
        aims: by the aim of the attack; `NOISE` is a random change of the length of the first.

    >>> found = TransferConfidence((0.0, 2.0), 8.0, torch.ones(1) > 0, {})
    >>> found.kappa
    (0.0, 16.0)
    """

    relative: tuple[float, ...]
    margin: float
    right: Bool[Tensor, " n"]
    aims: Mapping[str, Offered]

    @property
    def kappa(self) -> tuple[float, ...]:
        """κ, in logits."""
        return tuple(self.margin * each for each in self.relative)

    def share(self, aim: str, network: str) -> list[Proportion]:
        """Return the share of images that fool the network, for each κ."""
        hits = self.aims[aim].fooled[network][:, self.right]
        return [Proportion(int(row.sum()), len(row)) for row in hits]

    def distance(self, aim: str) -> list[float]:
        """Return the mean L2 distance of the images that fool the source, for each κ."""
        rows = self.aims[aim].distance[:, self.right]
        return [float(row[row.isfinite()].mean()) for row in rows]

    def tables(self) -> Mapping[str, Table]:
        """Return the shares per aim, network and κ, and all outcomes."""
        summary = []
        outcomes = []
        for aim, offered in self.aims.items():
            sure = [float(row[self.right].double().mean()) for row in offered.sure]
            for network in offered.fooled:
                shares = self.share(aim, network)
                values = zip(
                    self.relative, self.kappa, self.distance(aim), sure, shares, strict=True
                )
                summary += [
                    (aim, network, r, kappa, distance, s, p.value, p.low, p.high, p.total)
                    for r, kappa, distance, s, p in values
                ]
                outcomes += [
                    (aim, network, kappa, image, int(self.right[image]), int(hit))
                    for kappa, row in zip(self.kappa, offered.fooled[network], strict=True)
                    for image, hit in enumerate(row.tolist())
                ]
        columns = ("κ/margin", "κ", "distance", "reached κ", "fooled", "low", "high", "images")
        return {
            "summary": Table(("aim", "network", *columns), tuple(summary)),
            "images": Table(("aim", "network", "κ", "image", "right", "fooled"), tuple(outcomes)),
        }


def run_transfer(bench: Bench, settings: TransferSettings) -> TransferConfidence:
    """Train three networks on two halves of the training images, attack A, and ask the others.

    A learns from the first half; B, and an adversarially trained B, from the second.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VIII-D and figure 9.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = TransferSettings(confidence=(0.0,), steps=20, searches=2)
    >>> found = run_transfer(Bench(test, lambda: train, epochs=1), settings)
    >>> list(found.aims)
    ['any other class', 'a given class', 'noise as long']
    """
    first, second = (every_other(bench.train, start) for start in (0, 1))
    other = derive(bench.seed, "second half")
    source = bench.trained("A", data=first)
    hardened = AdversarialTraining(PGD(Linf(bench.eps), steps=5))
    judges = {
        "B": bench.trained("B", data=second, seed=other),
        "B, adversarial": bench.trained("B, adversarial", hardened, data=second, seed=other),
    }
    return transfer_confidence(source, judges, bench.images, bench.labels, settings, bench.seed)


def transfer_confidence(
    source: nn.Module,
    judges: Mapping[str, nn.Module],
    images: Float[Tensor, "n ..."],
    labels: Tensor,
    settings: TransferSettings,
    seed: int = 0,
) -> TransferConfidence:
    """Attack `source` with rising confidence, and offer the images to the others.

    >>> x, y = torch.tensor([[0.7, 0.4]]), torch.tensor([0])
    >>> settings = TransferSettings(confidence=(0.0, 1.0), steps=50, searches=2)
    >>> found = transfer_confidence(nn.Flatten(), {"same": nn.Flatten()}, x, y, settings)
    >>> [p.value for p in found.share("any other class", "same")]
    [1.0, 1.0]
    """
    networks = {"A": source, **judges}
    clean = logits_of(source, images)
    margin = float(answers(source, images)[1].median())
    right = torch.stack([answers(net, images)[0] == labels for net in networks.values()]).all(0)
    targets = random_classes(labels, clean.shape[1], seed)
    aims = {}
    for aim in AIMS:
        goals = None if aim == AIMS[0] else targets
        parts = []
        for relative in settings.confidence:
            kappa = margin * relative
            attack = CarliniWagnerL2(
                L2(), confidence=kappa, steps=settings.steps, searches=settings.searches
            )
            result = attack(source, images, labels, goals, seed=seed)
            x = result.adversarials
            gained = -_margin(logits_of(source, x), labels.cpu(), goals)
            hits = {name: _hits(net, x, labels, goals) for name, net in networks.items()}
            parts.append((result.distance.cpu(), gained >= kappa * (1 - 1e-3), hits))
        aims[aim] = _offered(parts)
    length = aims[AIMS[0]].distance
    noise = []
    for row in length:
        x = moved_at_random(images, torch.where(row.isfinite(), row, 0.0), seed)
        hits = {name: _hits(net, x, labels, None) for name, net in networks.items()}
        noise.append((row, torch.zeros_like(row, dtype=torch.bool), hits))
    aims[NOISE] = _offered(noise)
    return TransferConfidence(settings.confidence, margin, right.cpu(), aims)


def every_other(data: ImageData, start: int) -> TensorData:
    """Return every second image from `start` on, with the statistics of the whole.

    >>> from saddlepoint.data import load_data
    >>> len(every_other(load_data("digits", split="train", limit=5), 1))
    2
    """
    rows = torch.arange(start, len(data), 2)
    return TensorData.of(
        data.images(rows), data.labels.cpu()[rows], name=data.name, split=data.split,
        classes=data.classes, mean=data.mean, std=data.std,
    )  # fmt: skip


def moved_at_random(
    images: Float[Tensor, "n ..."], length: Float[Tensor, " n"], seed: int
) -> Float[Tensor, "n ..."]:
    """Return the images moved by `length` in L2 into a random direction.

    A pixel that would leave [0, 1] moves the other way, and to the bound where that leaves too.

    >>> float(moved_at_random(torch.zeros(1, 4), torch.ones(1), 0).norm())
    1.0
    """
    keys = Keys(seed, torch.arange(len(images), device=images.device))
    direction = unit(keys.normal(tuple(images.shape[1:])).to(images), 2)
    step = expand(length.to(images), images) * direction
    outside = (images + step < 0) | (images + step > 1)
    return (images + torch.where(outside, -step, step)).clamp(0, 1)


def _offered(parts: list[tuple[Tensor, Tensor, dict[str, Tensor]]]) -> Offered:
    distances, sure, hits = zip(*parts, strict=True)
    fooled = {name: torch.stack([each[name] for each in hits]) for name in hits[0]}
    return Offered(torch.stack(distances), torch.stack(sure), fooled)


def _hits(net: nn.Module, x: Tensor, labels: Tensor, goals: Tensor | None) -> Tensor:
    answered, _ = answers(net, x)
    return ((answered != labels) if goals is None else (answered == goals)).cpu()


def _margin(logits: Tensor, labels: Tensor, goals: Tensor | None) -> Tensor:
    """Return by how much the attack's aim is missed; negative where it is reached."""
    own = labels if goals is None else goals.cpu()
    inside = logits.gather(1, own[:, None]).squeeze(1)
    outside = logits.scatter(1, own[:, None], -torch.inf).amax(1)
    return inside - outside if goals is None else outside - inside
