"""Can a Transformer follow rules? Sets with known answers, exact matches on texts it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from saddlepoint.errors import InputError, unknown
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.text_tasks import TranslationSettings, TranslationTask
from saddlepoint.objectives import Translate
from saddlepoint.progress import Course
from saddlepoint.text import RULES
from saddlepoint.text.text_sets import RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXTS = ("copy", "reverse", "sort", "addition", "dates", "number-words")


@dataclass(frozen=True)
class RuleSettings(TranslationSettings):
    """Settings of `run_text_rules`: a width of 64 and a depth of 2 are enough, without dropout.

    Args:
        rules: whose answers are texts.

    >>> RuleSettings(rules=("sentiment",))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: sentiment has classes for answers; give rules of texts: copy, ...
    """

    rules: tuple[str, ...] = _TEXTS
    examples: int = 16_000
    width: int = 64
    depth: int = 2
    dropout: float = 0.0
    epochs: int = 20
    batch_tokens: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.rules:
            if name not in RULES:
                raise unknown("rule-made set", name, RULES)
            if name not in _TEXTS:
                raise InputError(
                    f"{name} has classes for answers; give rules of texts: {', '.join(_TEXTS)}"
                )


@dataclass(frozen=True)
class Followed:
    """What was found of one rule.

    Attributes:
        rule: its name.
        exact: the share of test answers that were written exactly.
        perplexity: of test answers.
        tested: test texts, none of which was trained on.
        seconds: of the training.
    """

    rule: str
    exact: float
    perplexity: float
    tested: int
    seconds: float


@dataclass(frozen=True)
class TextRules:
    """What was found.

    >>> TextRules((Followed("copy", 0.99, 1.1, 1000, 60.0),)).tables()["summary"].rows
    (('copy', 0.99, 1.1, 1000),)
    """

    rules: tuple[Followed, ...]

    def tables(self) -> Mapping[str, Table]:
        """Return exact matches of each rule, and what they cost."""
        rows = tuple((e.rule, e.exact, e.perplexity, e.tested) for e in self.rules)
        return {
            "summary": Table(("rule", "exact", "perplexity", "tested"), rows),
            "costs": Table(
                ("rule", "seconds"), tuple((each.rule, each.seconds) for each in self.rules)
            ),
        }


def run_text_rules(bench: Bench, settings: RuleSettings) -> TextRules:
    """Train a Transformer on each rule, and count the answers to other texts that it writes exactly,
    greedily. Vaswani et al. 2017, arXiv:1706.03762.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=2), lambda: None)
    >>> settings = RuleSettings(rules=("copy",), width=16, depth=1, epochs=1, examples=40, tested=4)
    >>> [each.tested for each in run_text_rules(bench, settings).rules]
    [4]
    """
    course = Course(bench.progress, len(settings.rules))
    found = [
        Followed(**bench.part(name, partial(_one, bench, settings, name, course.next(name))))
        for name in settings.rules
    ]
    return TextRules(tuple(found))


def _one(bench: Bench, settings: RuleSettings, name: str, progress: Any) -> dict[str, Any]:
    task = TranslationTask.named(f"{RULE}{name}", settings, vocabulary=200)
    _, measured = task.fitted(
        bench, f"training-{name}", settings, Translate(written=0), {}, progress
    )
    return {
        "rule": name,
        "exact": measured["exact_match"],
        "perplexity": measured["perplexity"],
        "tested": len(task.test),
        "seconds": measured["seconds"],
    }


def draw_text_rules(found: TextRules) -> Figure:
    """Draw the exact matches of each rule.

    >>> len(draw_text_rules(TextRules((Followed("copy", 0.99, 1.1, 1000, 60.0),))).axes)
    1
    """
    with sheet(5.2, 0.9 + 0.32 * len(found.rules)) as figure:
        axes = figure.subplots()
        places = range(len(found.rules))
        axes.barh(places, [100 * each.exact for each in found.rules], height=0.6)
        axes.set_yticks(places, [each.rule for each in found.rules])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("test answers written exactly (%)")
        title_left(axes, "a Transformer on rule-made sets")
    return figure
