"""What each part of a Transformer is worth: the rows of the paper's table 3, on a small scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from saddlepoint.errors import check_names
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.spread import Spread, spread_tables
from saddlepoint.lab.table import Table
from saddlepoint.lab.text_tasks import TranslationTask
from saddlepoint.lab.text_verses import VerseSettings
from saddlepoint.objectives import Translate
from saddlepoint.option_values import Count
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.text import BeamSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "as it is": {},
        "one head": {"heads": 1},
        "sixteen heads": {"heads": 16},
        "an eighth of d_k": {"d_k": 0.125},
        "a quarter of the width": {"width": 0.25},
        "one block": {"depth": 1},
        "no dropout": {"dropout": 0.0},
        "no smoothing": {"smoothing": 0.0},
        "learned positions": {"positions": "learned"},
        "no positions": {"positions": "none"},
        "pre-norm": {"order": "pre-norm"},
    }
)
"""What differs in each, by name: options of the network, its width or d_k as a share, or ε of
smoothing."""


@dataclass(frozen=True)
class AblationSettings(VerseSettings):
    """Settings of `run_text_ablations`.

    Args:
        variants: names of `VARIANTS`.
        seeds: repetitions of all.

    >>> AblationSettings(variants=("no heads",))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown variant 'no heads'; did you mean 'one head'? (known: ...)
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names("variant", self.variants, VARIANTS)


@dataclass(frozen=True)
class Ablated:
    """What one variant reached on the test."""

    variant: str
    seed: int
    perplexity: float
    bleu: float
    exact: float


@dataclass(frozen=True)
class Ablations:
    """What was found.

    >>> Ablations((Ablated("one head", 1, 20.0, 12.0, 0.1),)).tables()["summary"].rows
    (('one head', 20.0, 12.0, 0.1),)
    """

    found: tuple[Ablated, ...]

    @property
    def variants(self) -> tuple[str, ...]:
        """The names, in their order."""
        return tuple(dict.fromkeys(each.variant for each in self.found))

    def of(self, variant: str, what: str) -> list[float]:
        """Return a measure of every seed."""
        return [getattr(each, what) for each in self.found if each.variant == variant]

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, and how far they spread."""
        names = ("perplexity", "bleu", "exact")
        rows = [([v], [self.of(v, name) for name in names]) for v in self.variants]
        return spread_tables(("variant",), names, rows)


def run_text_ablations(bench: Bench, settings: AblationSettings) -> Ablations:
    """Train a variant each with the same data, steps and seeds; perplexity, BLEU of the widest beam and
    exact matches of the test. Vaswani et al. 2017, arXiv:1706.03762, table 3.
    """
    task = TranslationTask.named(settings.data, settings, settings.vocabulary, settings.words)
    course = Course(bench.progress, settings.seeds * len(settings.variants))
    found = []
    for i in range(settings.seeds):
        for name in settings.variants:
            label = f"seed {i + 1}, {name}"
            told = course.next(label)
            row = bench.part(label, partial(_one, bench, settings, task, name, i, told))
            found.append(Ablated(**row))
    return Ablations(tuple(found))


def _one(
    bench: Bench,
    settings: AblationSettings,
    task: TranslationTask,
    name: str,
    number: int,
    progress: Any,
) -> dict[str, Any]:
    change = dict(VARIANTS[name])
    if "d_k" in change:
        change["d_k"] = max(1, int(settings.width / settings.heads * change["d_k"]))
    if "width" in change:
        share = change["width"]
        change["width"] = max(settings.heads, int(settings.width * share))
    smoothing = change.pop("smoothing", settings.smoothing)
    own = replace(bench, seed=derive(bench.seed, "repetition", number))
    objective = Translate(label_smoothing=smoothing, written=0)
    trained, measured = task.fitted(
        own, f"training {number + 1}, {name}", settings, objective, change, progress
    )
    return {
        "variant": name,
        "seed": number + 1,
        "perplexity": measured["perplexity"],
        "bleu": task.bleu(trained, BeamSearch(max(settings.beams), settings.alpha)),
        "exact": measured["exact_match"],
    }


def draw_text_ablations(found: Ablations) -> Figure:
    """Draw perplexity and BLEU of each variant; exact matches where no answer has words enough for BLEU.

    >>> len(draw_text_ablations(Ablations((Ablated("one head", 1, 20.0, 12.0, 0.1),))).axes)
    2
    """
    translated = any(score > 0 for variant in found.variants for score in found.of(variant, "bleu"))
    better = ("bleu", 1.0, "BLEU") if translated else ("exact", 100.0, "exact matches (%)")
    measures = (("perplexity", 1.0, "perplexity of test targets"), better)
    with sheet(7.4, 1.0 + 0.3 * len(found.variants)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        places = range(len(found.variants))
        for axes, (what, scale, label) in zip((left, right), measures, strict=True):
            spreads = [Spread.of(found.of(variant, what)) for variant in found.variants]
            axes.barh(places, [scale * each.mean for each in spreads], height=0.6)
            axes.set_xlim(left=0)
            axes.set_xlabel(label)
        left.set_yticks(places, found.variants)
        left.invert_yaxis()
        title_left(left, "less is better")
        title_left(right, "more is better")
    return figure
