"""Is a translation worth more than copying, and than looking every word up?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.text_tasks import TranslationSettings, TranslationTask
from saddlepoint.objectives import Translate
from saddlepoint.option_values import BelowOne, Count, NonNegative
from saddlepoint.progress import Course
from saddlepoint.text import BeamSearch, baselines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASELINES = ("the source itself", "word for word (IBM model 1)")


@dataclass(frozen=True)
class VerseSettings(TranslationSettings):
    """Settings of `run_text_verses`.

    Args:
        data: pairs; text/verses-en-es is looked for below SADDLEPOINT_DATA.
        words: of a source at most.
        vocabulary: of both languages together.
        smoothing: ε of label smoothing.
        beams: widths of the beam search; 1 is greedy.
        alpha: of its length penalty.

    >>> VerseSettings().beams
    (1, 4)
    """

    data: str = "text/verses-en-es"
    words: Count = 15
    vocabulary: Count = 4000
    smoothing: BelowOne = 0.1
    beams: tuple[Count, ...] = (1, 4)
    alpha: NonNegative = 0.6
    epochs: int = 40


@dataclass(frozen=True)
class Translation:
    """The BLEU of one way to translate."""

    way: str
    bleu: float


@dataclass(frozen=True)
class Verses:
    """What was found.

    >>> Verses((Translation("copy", 0.2),), 20.0, 100, 10).tables()["summary"].rows
    (('copy', 0.2),)
    """

    ways: tuple[Translation, ...]
    perplexity: float
    trained: int
    tested: int

    def tables(self) -> Mapping[str, Table]:
        """Return the BLEU of each way, and what was trained and tested on."""
        return {
            "summary": Table(("translation", "BLEU"), tuple((e.way, e.bleu) for e in self.ways)),
            "pairs": Table(
                ("trained", "tested", "perplexity"),
                ((self.trained, self.tested, self.perplexity),),
            ),
        }


def run_text_verses(bench: Bench, settings: VerseSettings) -> Verses:
    """Train a Transformer on short pairs; BLEU of its test translations against two that have learned
    nothing of order. Vaswani et al. 2017, arXiv:1706.03762; Brown et al. 1993.
    """
    course = Course(bench.progress, 1)
    told = course.next("translation")
    found = bench.part("translation", partial(_one, bench, settings, told))
    ways = tuple(Translation(**each) for each in found.pop("ways"))
    return Verses(ways, **found)


def _one(bench: Bench, settings: VerseSettings, progress: Any) -> dict[str, Any]:
    task = TranslationTask.named(settings.data, settings, settings.vocabulary, settings.words)
    train, test = ([(row[0], row[1]) for row in each.rows] for each in (task.train, task.test))
    bars = baselines(train, test)
    objective = Translate(label_smoothing=settings.smoothing, written=0)
    trained, measured = task.fitted(bench, "training", settings, objective, {}, progress)
    ways = [
        {"way": BASELINES[0], "bleu": bars.copied.score},
        {"way": BASELINES[1], "bleu": bars.words.score},
    ]
    for width in settings.beams:
        score = task.bleu(trained, BeamSearch(width, settings.alpha))
        search = f"beam {width}" if width > 1 else "greedy"
        ways.append({"way": f"Transformer, {search}", "bleu": score})
    return {
        "ways": ways,
        "perplexity": measured["perplexity"],
        "trained": len(train),
        "tested": len(test),
    }


def draw_text_verses(found: Verses) -> Figure:
    """Draw the BLEU of each way to translate.

    >>> len(draw_text_verses(Verses((Translation("copy", 0.2),), 20.0, 100, 10)).axes)
    1
    """
    with sheet(5.2, 0.9 + 0.34 * len(found.ways)) as figure:
        axes = figure.subplots()
        places = range(len(found.ways))
        axes.barh(places, [each.bleu for each in found.ways], height=0.6)
        axes.set_yticks(places, [each.way for each in found.ways])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("BLEU")
        title_left(axes, f"{found.tested} test pairs")
    return figure
