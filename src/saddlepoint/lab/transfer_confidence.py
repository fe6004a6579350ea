"""Do adversarial images that one network is surer of fool another one more often?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.attacks import PGD, CarliniWagnerL2, Misclassified, Targeted
from saddlepoint.defences import AdversarialTraining
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.bench import Bench, every_other
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import logits_of, predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, plot_shares, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.targets import random_classes
from saddlepoint.option_values import Count, NonNegative
from saddlepoint.progress import counted
from saddlepoint.streams import Keys, derive
from saddlepoint.threat import L2, Linf
from saddlepoint.threat.norms import expand, unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AIMS = ("any other class", "a given class")
NOISE = "noise as long"


@dataclass(frozen=True)
class TransferSettings(Settings):
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
        super().__post_init__()
        self._sort("confidence")


@dataclass(frozen=True, eq=False)
class TransferOutcome:
    """What one kind of attack on the source came to.

    Attributes:
        distance: (k, n) L2 distances; infinity where the source was not fooled.
        confident: (k, n) the source is fooled with a margin of κ.
        fooled: by network, (k, n) whether it takes the image for the class of the attack's aim.

    >>> TransferOutcome(torch.zeros(1, 2), torch.ones(1, 2) > 0, {}).confident.all()
    tensor(True)
    """

    distance: Float[Tensor, "k n"]
    confident: Bool[Tensor, "k n"]
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
    aims: Mapping[str, TransferOutcome]

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

        def joined(table: Callable[[str, str], Table]) -> Table:
            by_aim = {
                aim: Table.joined("network", {each: table(aim, each) for each in outcome.fooled})
                for aim, outcome in self.aims.items()
            }
            return Table.joined("aim", by_aim)

        return {"summary": joined(self._summary), "images": joined(self._images)}

    def _summary(self, aim: str, network: str) -> Table:
        confident = self.aims[aim].confident[:, self.right]
        shares = self.share(aim, network)
        return Table.of(
            {
                "κ/margin": self.relative,
                "κ": self.kappa,
                "distance": self.distance(aim),
                "reached κ": [float(row.double().mean()) for row in confident],
                "fooled": [p.value for p in shares],
                "low": [p.low for p in shares],
                "high": [p.high for p in shares],
                "images": [p.total for p in shares],
            }
        )

    def _images(self, aim: str, network: str) -> Table:
        fooled = self.aims[aim].fooled[network]
        return Table.long(
            {"κ": self.kappa, "image": range(len(self.right))},
            {"right": self.right.expand_as(fooled).int(), "fooled": fooled.int()},
        )


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
    victims = {
        "B": bench.trained("B", data=second, seed=other),
        "B, adversarial": bench.trained("B, adversarial", hardened, data=second, seed=other),
    }
    return transfer_confidence(source, victims, bench.images, bench.labels, settings, bench.seed)


def transfer_confidence(
    source: nn.Module,
    victims: Mapping[str, nn.Module],
    images: Float[Tensor, "n ..."],
    labels: Tensor,
    settings: TransferSettings,
    seed: int = 0,
) -> TransferConfidence:
    """Attack `source` with rising confidence, and let the victims classify the images.

    >>> x, y = torch.tensor([[0.7, 0.4]]), torch.tensor([0])
    >>> settings = TransferSettings(confidence=(0.0, 1.0), steps=50, searches=2)
    >>> found = transfer_confidence(nn.Flatten(), {"same": nn.Flatten()}, x, y, settings)
    >>> [p.value for p in found.share("any other class", "same")]
    [1.0, 1.0]
    """
    networks = {"A": source, **victims}
    clean = logits_of(source, images)
    margin = float(predictions(source, images)[1].median())
    right = torch.stack([predictions(net, images)[0] == labels for net in networks.values()]).all(0)
    targets = random_classes(labels, clean.shape[1], seed)
    aims = {}
    for aim, goals in zip(AIMS, (None, targets), strict=True):
        criterion = Misclassified() if goals is None else Targeted()
        parts = []
        for relative in counted(settings.confidence, "confidences"):
            kappa = margin * relative
            attack = CarliniWagnerL2(
                L2(), confidence=kappa, steps=settings.steps, searches=settings.searches
            )
            result = attack(source, images, labels, goals, seed=seed)
            x = result.adversarials
            wanted = labels if goals is None else goals
            gained = -criterion.margin(logits_of(source, x), wanted.cpu())
            fooled = _fooled(networks, x, labels, goals)
            parts.append((result.distance.cpu(), gained >= kappa * (1 - 1e-3), fooled))
        aims[aim] = _outcome(parts)
    length = aims[AIMS[0]].distance
    noise = []
    for row in length:
        x = perturbed_at_random(images, torch.where(row.isfinite(), row, 0.0), seed)
        fooled = _fooled(networks, x, labels, None)
        noise.append((row, torch.zeros_like(row, dtype=torch.bool), fooled))
    aims[NOISE] = _outcome(noise)
    return TransferConfidence(settings.confidence, margin, right.cpu(), aims)


def perturbed_at_random(
    images: Float[Tensor, "n ..."], length: Float[Tensor, " n"], seed: int
) -> Float[Tensor, "n ..."]:
    """Return the images moved by `length` in L2 into a random direction.

    A pixel that would leave [0, 1] moves the other way, and to the bound where that leaves too.

    >>> float(perturbed_at_random(torch.zeros(1, 4), torch.ones(1), 0).norm())
    1.0
    """
    keys = Keys(seed, torch.arange(len(images), device=images.device))
    direction = unit(keys.normal(tuple(images.shape[1:])).to(images), 2)
    step = expand(length.to(images), images) * direction
    outside = (images + step < 0) | (images + step > 1)
    return (images + torch.where(outside, -step, step)).clamp(0, 1)


def _outcome(parts: list[tuple[Tensor, Tensor, dict[str, Tensor]]]) -> TransferOutcome:
    distances, confident, fooled = zip(*parts, strict=True)
    by_network = {name: torch.stack([each[name] for each in fooled]) for name in fooled[0]}
    return TransferOutcome(torch.stack(distances), torch.stack(confident), by_network)


def _fooled(
    networks: Mapping[str, nn.Module], x: Tensor, labels: Tensor, targets: Tensor | None
) -> dict[str, Tensor]:
    answered = {name: predictions(net, x)[0] for name, net in networks.items()}
    return {
        name: ((each != labels) if targets is None else (each == targets)).cpu()
        for name, each in answered.items()
    }


def draw_transfer_confidence(found: TransferConfidence) -> Figure:
    """Draw against κ the share of images that fool each network, per aim, and the distances.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 9.

    >>> x, y = torch.tensor([[0.7, 0.4]]), torch.tensor([0])
    >>> settings = TransferSettings(confidence=(0.0,), steps=10, searches=1)
    >>> found = transfer_confidence(nn.Flatten(), {"B": nn.Flatten()}, x, y, settings)
    >>> len(draw_transfer_confidence(found).axes)
    3
    """
    networks = list(found.aims[AIMS[0]].fooled)
    named = looks([*networks, NOISE])
    with sheet(8.6, 3.1) as figure:
        *panels, last = figure.subplots(1, 3, gridspec_kw={"wspace": 0.06})
        for axes, aim in zip(panels, AIMS, strict=True):
            for network in networks:
                plot_shares(axes, found.kappa, found.share(aim, network), named[network])
            axes.set_ylabel("fooled (%)")
            title_left(axes, f"A attacked towards {aim}")
        plot_shares(panels[0], found.kappa, found.share(NOISE, networks[1]), named[NOISE])
        for aim, look in looks(AIMS).items():
            grey = {**look.line, "color": "#5A5A5A"}
            last.plot(found.kappa, found.distance(aim), **grey, markersize=4, label=aim)
        last.set_ylabel("mean L2 distance")
        last.set_ylim(bottom=0)
        last.legend(loc="lower right", fontsize=8)
        title_left(last, "length of the change")
        for axes in (*panels, last):
            axes.set_xlabel(f"κ (logits; A's median margin is {found.margin:.1f})", fontsize=8)
        handles = keys_of(named)
        handles[-1].set_label(f"{NOISE}, on {networks[1]}")
        legend_above(figure, handles)
    return figure
