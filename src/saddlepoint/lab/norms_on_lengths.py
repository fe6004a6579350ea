"""Batch normalisation of sentences of various lengths: what others in the batch do to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Natural
from saddlepoint.streams import generator
from saddlepoint.text import sinusoids

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = ("batch, padding among it", "batch, without padding", "layer")
_EPS = 1e-5


@dataclass(frozen=True)
class LengthSettings(Settings):
    """Settings of `norms_on_lengths`.

    Args:
        mean: length of the sentences.
        spreads: lengths go from mean − spread to mean + spread.
        longer: lengths of sentences at inference, as multiples of the mean.
        batch: sentences of a batch.
        batches: that the same sentence is put into.
        width: features of a token.
        words: of the vocabulary.

    Raises `InputError` for a spread as large as the mean.

    >>> LengthSettings(spreads=(8, 0)).spreads
    (0, 8)
    """

    mean: Count = 16
    spreads: tuple[Natural, ...] = (0, 2, 4, 8, 12, 15)
    longer: tuple[Count, ...] = (1, 2, 4, 8)
    batch: Count = 16
    batches: Count = 200
    width: Count = 64
    words: Count = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("spreads")
        self._sort("longer")
        if self.spreads[-1] >= self.mean:
            raise InputError(
                f"a spread of {self.spreads[-1]} about {self.mean} has sentences without words; give"
                f" at most {self.mean - 1}"
            )


@dataclass(frozen=True)
class Jitter:
    """How far the normalised features of one sentence move with its batch.

    Attributes:
        norm: one of `NORMS`.
        spread: of the lengths.
        jitter: the standard deviation over batches, root mean square over features.
        mean: the same of the batch's mean, in standard deviations of the feature.
        scale: the same of the batch's standard deviation, relative.
    """

    norm: str
    spread: int
    jitter: float
    mean: float
    scale: float


@dataclass(frozen=True)
class Longer:
    """What recorded statistics make of sentences of another length.

    Attributes:
        norm: one of `NORMS`.
        times: the length, in mean lengths of the training.
        offset: the root mean square of the means of what was normalised, which are to be 0: of each
            feature over tokens, or, of layer normalisation, of each token over features.
    """

    norm: str
    times: int
    offset: float


@dataclass(frozen=True)
class NormsOnLengths:
    """What was found.

    >>> NormsOnLengths((Jitter("layer", 4, 0.0, 0.0, 0.0),), ()).tables()["summary"].rows
    (('layer', 4, 0.0, 0.0, 0.0),)
    """

    jitters: tuple[Jitter, ...]
    longer: tuple[Longer, ...]

    def tables(self) -> Mapping[str, Table]:
        """Return what batches do to a sentence, and what its length does."""
        return {
            "summary": Table(
                ("norm", "spread", "jitter", "mean", "scale"),
                tuple((e.norm, e.spread, e.jitter, e.mean, e.scale) for e in self.jitters),
            ),
            "longer": Table(
                ("norm", "times", "offset"),
                tuple((e.norm, e.times, e.offset) for e in self.longer),
            ),
        }


def norms_on_lengths(bench: Bench, settings: LengthSettings) -> NormsOnLengths:
    """Put one sentence into many batches, normalise, and measure how far it moves; then normalise
    longer sentences by the statistics that were recorded.

    Tokens are unit normal embeddings with sinusoidal codes, so that features depend on the place; the
    frequency of words falls as 1/rank. Ba et al., Layer Normalization, 2016, arXiv:1607.06450: it does
    not see the batch. Batch normalisation divides by the standard deviation, not by the variance.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=2), lambda: None)
    >>> found = norms_on_lengths(bench, LengthSettings(spreads=(0, 8), batches=20))
    >>> [each.jitter for each in found.jitters if each.norm == "layer"]
    [0.0, 0.0]
    """
    draw = generator(bench.seed, "norms on lengths")
    table = torch.randn(settings.words, settings.width, generator=draw, dtype=torch.float64)
    sentences = _Sentences(table, draw)
    probe = sentences.of(settings.mean)
    jitters, longer = [], []
    for spread in settings.spreads:
        seen: dict[str, list[Tensor]] = {norm: [] for norm in NORMS}
        moments: dict[str, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in NORMS[:2]}
        for _ in range(settings.batches):
            lengths = torch.randint(
                settings.mean - spread, settings.mean + spread + 1, (settings.batch - 1,),
                generator=draw,
            ).tolist()  # fmt: skip
            batch = [probe, *(sentences.of(length) for length in lengths)]
            tokens, padding = torch.cat(batch), len(batch) * max(map(len, batch))
            zeros = tokens.new_zeros(padding - len(tokens), settings.width)
            for norm, rows in zip(NORMS, (torch.cat([tokens, zeros]), tokens), strict=False):
                mean, sd = rows.mean(0), rows.std(0, correction=0)
                moments[norm].append((mean, sd))
                seen[norm].append((probe - mean) / (sd**2 + _EPS).sqrt())
            seen["layer"].append(functional.layer_norm(probe, (settings.width,), eps=_EPS))
        for norm in NORMS:
            means, scales = zip(
                *moments.get(norm, [(probe[0] * 0, probe[0] * 0 + 1)] * 2), strict=True
            )
            sd = torch.stack(scales).mean(0)
            jitters.append(
                Jitter(norm, spread, _moved(seen[norm]), _moved([m / sd for m in means]),
                       _moved([s / sd for s in scales]))
            )  # fmt: skip
        recorded = moments
    for times in settings.longer:
        long = torch.cat([sentences.of(times * settings.mean) for _ in range(settings.batch)])
        for norm in NORMS:
            if norm == "layer":
                left = functional.layer_norm(long, (settings.width,), eps=_EPS).mean(1)
            else:
                mean, sd = (torch.stack(each).mean(0) for each in zip(*recorded[norm], strict=True))
                left = ((long - mean) / (sd**2 + _EPS).sqrt()).mean(0)
            longer.append(Longer(norm, times, float(left.pow(2).mean().sqrt())))
    return NormsOnLengths(tuple(jitters), tuple(longer))


@dataclass(frozen=True, eq=False)
class _Sentences:
    table: Float[Tensor, "v d"]
    draw: torch.Generator

    def of(self, length: int) -> Float[Tensor, "t d"]:
        weights = 1 / torch.arange(1, len(self.table) + 1, dtype=torch.float64)
        words = torch.multinomial(weights, length, replacement=True, generator=self.draw)
        return self.table[words] + sinusoids(torch.arange(length), self.table.shape[1])


def _moved(values: list[Tensor]) -> float:
    return float(torch.stack(values).var(0, correction=0).mean().sqrt())


def draw_norms_on_lengths(found: NormsOnLengths) -> Figure:
    """Draw how far a sentence moves with its batch against the spread of lengths, and the means of
    what was normalised against the length at inference.

    >>> jitters = tuple(Jitter(norm, 4, 0.1, 0.1, 0.1) for norm in NORMS)
    >>> longer = tuple(Longer(norm, 2, 0.5) for norm in NORMS)
    >>> len(draw_norms_on_lengths(NormsOnLengths(jitters, longer)).axes)
    2
    """
    named = looks(NORMS)
    with sheet(8.0, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for norm, look in named.items():
            line = {**look.line, "markersize": 3, "linewidth": 1.0}
            jitters = [each for each in found.jitters if each.norm == norm]
            left.plot([e.spread for e in jitters], [e.jitter for e in jitters], **line)
            longer = [each for each in found.longer if each.norm == norm]
            right.plot([e.times for e in longer], [e.offset for e in longer], **line)
        left.set_ylim(bottom=-0.01)
        left.set_xlabel("spread of the lengths (tokens)")
        title_left(left, "one sentence in many batches: standard deviation")
        right.set_ylim(bottom=0)
        right.set_xlabel("length at inference, in mean lengths")
        title_left(right, "means of what was normalised")
        legend_above(figure, keys_of(named))
    return figure
