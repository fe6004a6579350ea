"""What is measured of networks that were regularised in different ways, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD, Attack
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.early_stopping import EpochSearch
from saddlepoint.lab.moved_images import moved_by
from saddlepoint.lab.outputs import logits_of
from saddlepoint.lab.regularisers import RandomSigns, first_weights, halves
from saddlepoint.lab.spread import Spread, spread_tables
from saddlepoint.lab.table import Cell, Table
from saddlepoint.threat import Linf
from saddlepoint.zoo.maxout import Maxout


@dataclass(frozen=True)
class Measures:
    """What is measured of a network; errors are shares of all images, those wrong before included.

    Attributes:
        clean, signs, fgsm, pgd: errors on the test images as they are, with random signs ±eps, after
            FGSM and after PGD.
        confidence: the mean probability of the predicted class over the mistakes under FGSM; NaN
            without any.
        train_clean, train_fgsm: errors on the training images.
        hidden: the mean absolute activation of the first hidden layer.
        pixels: on how many the energy of a filter of the first layer is spread.

    >>> Measures(0.1, 0.2, 0.9, 1.0, 0.8, 0.0, 0.9, 0.5, 300.0).fgsm
    0.9
    """

    clean: float
    signs: float
    fgsm: float
    pgd: float
    confidence: float
    train_clean: float
    train_fgsm: float
    hidden: float
    pixels: float


_TITLES = (
    "error", "random signs", "FGSM", "PGD", "sure when wrong", "training error", "training FGSM",
    "mean |hidden|", "pixels per filter",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One trained network.

    Attributes:
        variant, units: how it was trained, and its width.
        number: of the training, from 0; the same number is the same seed in every variant.
        epochs: that it was trained for.
        measures: of it.

    >>> Trial("dropout", 240, 0, 20, Measures(0.1, 0.2, 0.9, 1.0, 0.8, 0.0, 0.9, 0.5, 300.0)).epochs
    20
    """

    variant: str
    units: int
    number: int
    epochs: int
    measures: Measures


@dataclass(frozen=True)
class Transfer:
    """FGSM's images of one network before another one, of another seed.

    Attributes:
        units: of both.
        source, target: how they were trained.
        number: of the source's training.
        error: of the target.
        agreement: where both are wrong, how often as the same class; NaN where they never are.

    >>> Transfer(240, "dropout", "adversarial", 0, 0.2, 0.7).error
    0.2
    """

    units: int
    source: str
    target: str
    number: int
    error: float
    agreement: float


@dataclass(frozen=True, eq=False)
class Regularisation:
    """All that was measured.

    Attributes:
        eps: the budget.
        shape: of an image.
        trials: one per variant, width and seed.
        transfers: one per pair of trainings, width and seed.
        searches: by variant and width, the validation errors that say for how long to train.
        filters: by variant, the first layer's weights of the widest networks with the first seed.

    >>> Regularisation(0.25, (1, 28, 28), (), (), {}, {}).tables()["runs"].rows
    ()
    """

    eps: float
    shape: tuple[int, ...]
    trials: tuple[Trial, ...]
    transfers: tuple[Transfer, ...]
    searches: Mapping[tuple[str, int], EpochSearch]
    filters: Mapping[str, Float[Tensor, "filters d"]]

    def of(self, variant: str, units: int) -> list[Trial]:
        """Return the networks of a variant and width."""
        return [each for each in self.trials if (each.variant, each.units) == (variant, units)]

    def tables(self) -> Mapping[str, Table]:
        """Return means and standard deviations, and everything that they are of."""
        return {
            **self._spreads(),
            "transfer": self._transfer(),
            "runs": Table(
                ("variant", "units", "run", "epochs", *_TITLES),
                tuple((*astuple(each)[:4], *astuple(each.measures)) for each in self.trials),
            ),
            "transfer-runs": Table(
                ("units", "source", "target", "run", "error", "same class"),
                tuple(astuple(each) for each in self.transfers),
            ),
            "search": Table(
                ("variant", "units", "epoch", "validation error", "validation FGSM"),
                tuple(
                    (*place, epoch, *errors)
                    for place, search in self.searches.items()
                    for epoch, errors in enumerate(
                        zip(search.clean, search.adversarial, strict=True), start=1
                    )
                ),
            ),
        }

    def _spreads(self) -> Mapping[str, Table]:
        rows: list[tuple[Sequence[Cell], Sequence[Iterable[float]]]] = []
        for (variant, units), search in self.searches.items():
            trials = [astuple(each.measures) for each in self.of(variant, units)]
            rows.append(((variant, units, search.epochs), list(zip(*trials, strict=True))))
        shown = _TITLES.index("sure when wrong") + 1
        return spread_tables(("variant", "units", "epochs"), _TITLES, rows, shown)

    def _transfer(self) -> Table:
        rows = [
            (
                *pair,
                *Spread.of(each.error for each in several),
                *Spread.of(each.agreement for each in several),
            )
            for pair, several in self.by_pair().items()
        ]
        columns = ("units", "source", "target", "error", "±", "same class", "±")
        return Table(columns, tuple(rows))

    def by_pair(self) -> Mapping[tuple[int, str, str], list[Transfer]]:
        """Return the transfers by width, source and target."""
        pairs: dict[tuple[int, str, str], list[Transfer]] = {}
        for each in self.transfers:
            pairs.setdefault((each.units, each.source, each.target), []).append(each)
        return pairs


def measure(model: nn.Module, bench: Bench, eps: float, steps: int) -> Measures:
    """Return what is measured of a maxout network, on the images of the bench.

    Args:
        model: trained.
        bench: with test and training images.
        eps: the Linf budget of the attacks.
        steps: of PGD.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=8)
    >>> measure(Maxout(4, size=8), Bench(data, lambda: data), 0.25, steps=2).clean <= 1
    True
    """
    assert isinstance(model, Maxout)
    x, y, threat = bench.images, bench.labels, Linf(eps)
    train = bench.train
    x_train = train.images(torch.arange(len(train))).to(x.device)
    y_train = train.labels.to(x.device)

    def error(attack: Attack | None, x: Tensor = x, y: Tensor = y) -> float:
        moved = x if attack is None else moved_by(attack, model, x, y, bench.seed)
        return _share(logits_of(model, moved).argmax(1) != y.cpu())

    logits = logits_of(model, moved_by(FGSM(threat), model, x, y, bench.seed))
    sure, answers = logits.softmax(1).double().max(1)
    wrong = answers != y.cpu()
    return Measures(
        clean=error(None),
        signs=error(RandomSigns(threat)),
        fgsm=_share(wrong),
        # Judged, so that the best of its iterates counts.
        pgd=_share(PGD(threat, steps=steps)(model, x, y, seed=bench.seed).success),
        confidence=float(sure[wrong].mean()),
        train_clean=error(None, x_train, y_train),
        train_fgsm=error(FGSM(threat), x_train, y_train),
        hidden=float(logits_of(halves(model, 1)[0], x).abs().mean()),
        pixels=spread(first_weights(model).detach()),
    )


def spread(filters: Float[Tensor, "filters d"]) -> float:
    """Return on how many pixels a filter's energy is spread, (Σw²)² / Σw⁴: d for equal weights, 1 for
    a single one. Filters count by their energy, so that those which learned nothing do not.

    >>> spread(torch.tensor([[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    2.0
    """
    energy = filters.double().square().sum(1)
    fourth = filters.double().pow(4).sum(1)
    pixels = energy.square() / fourth.clamp_min(torch.finfo(torch.float64).tiny)
    return float((energy * pixels).sum() / energy.sum())


def transfers_between(
    networks: Mapping[str, Sequence[nn.Module]],
    units: int,
    bench: Bench,
    eps: float,
) -> list[Transfer]:
    """Return what FGSM's images of each network do to the one of the next seed, of every training.

    Args:
        networks: by training, one for each seed.
        units: their width.
        bench: with the test images.
        eps: the Linf budget.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=8)
    >>> nets = {"dropout": [Maxout(4, size=8), Maxout(4, size=8)]}
    >>> len(transfers_between(nets, 4, Bench(data, lambda: data), 0.25))
    2
    """
    y = bench.labels.cpu()
    found = []
    for source, sources in networks.items():
        for number, model in enumerate(sources):
            moved = moved_by(FGSM(Linf(eps)), model, bench.images, bench.labels, bench.seed)
            own = logits_of(model, moved).argmax(1)
            for target, targets in networks.items():
                # Never the source itself, and as far from it for every pair of trainings.
                other = logits_of(targets[(number + 1) % len(targets)], moved).argmax(1)
                both = (own != y) & (other != y)
                same = (own == other)[both].double().mean()
                found.append(
                    Transfer(units, source, target, number, _share(other != y), float(same))
                )
    return found


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())
