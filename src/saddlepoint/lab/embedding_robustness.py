"""Training on perturbed embeddings: accuracy against the budget in the embedding, and on clean texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.defences import EmbeddingPGD, FreeLB, Optimiser, Recipe, Schedule
from saddlepoint.evaluation import build_suite, evaluate
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.spread import Spread, spread_tables
from saddlepoint.lab.table import Cell, Table
from saddlepoint.objectives import Classify, TrainingObjective
from saddlepoint.option_values import Count, NonNegative, Positive
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.text import (
    BERTS,
    Bert,
    EmbeddedText,
    Framing,
    FromEmbedding,
    Sentences,
    WordTokeniser,
    load_text,
    with_head,
)
from saddlepoint.threat import TokenL2
from saddlepoint.threat.tokens import FREE
from saddlepoint.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("standard", "standard, as many passes", "PGD", "FreeLB")


@dataclass(frozen=True)
class EmbeddingSettings(Settings):
    """Settings of `embedding_robustness`.

    Args:
        texts: what `load_text` takes: rules:sentiment, text/sentences, a file.
        trained: sentences of the training.
        measured: test sentences for the clean accuracy.
        attacked: the first of them, for the accuracy against the budget.
        seeds: networks of each method, which all go on from one standard training.
        tuned: epochs of that training, and of each method.
        eps: budgets, lengths of the whole perturbation.
        train_eps: the budget of PGD in training.
        steps: of the ascents in training; K.
        step_size: of FreeLB, α.
        magnitude: of FreeLB, ε₀.
        suite: of attacks, the same at every budget.
        width, depth: of the BERT.
        learning_rate: by AdamW.

    >>> EmbeddingSettings(eps=(0.2, 0.1)).eps
    (0.1, 0.2)
    """

    texts: str = "rules:sentiment"
    trained: Count = 2000
    measured: Count = 2000
    attacked: Count = 200
    seeds: Count = 3
    tuned: Count = 8
    eps: tuple[NonNegative, ...] = (0.02, 0.05, 0.1, 0.2, 0.4)
    train_eps: Positive = 0.05
    steps: Count = 3
    step_size: Positive = 0.03
    magnitude: NonNegative = 0.03
    suite: str = "fast"
    width: Count = 32
    depth: Count = 2
    learning_rate: Positive = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("eps")
        build_suite(self.suite, TokenL2(self.eps[0]))

    def objective(self, method: str) -> TrainingObjective:
        """Return what a method trains by."""
        if method == "PGD":
            return EmbeddingPGD(attack=PGD(TokenL2(self.train_eps), steps=self.steps))
        if method == "FreeLB":
            return FreeLB(steps=self.steps, step_size=self.step_size, magnitude=self.magnitude)
        return Classify()

    def recipe(self, method: str) -> Recipe:
        """Return the recipe of a method; "standard, as many passes" has as many epochs more as FreeLB
        makes passes.
        """
        return Recipe(
            self.objective(method),
            epochs=self.tuned * (self.steps if method == METHODS[1] else 1),
            batch_size=32,
            optimiser=Optimiser(
                "adamw", self.learning_rate, weight_decay=0.01, decay_on="weights", clip_norm=1.0
            ),
            schedule=Schedule("linear", warmup=0.1),
        )


@dataclass(frozen=True)
class TrainedInEmbedding:
    """A network: its accuracy on clean sentences, and within each budget; and the mean length of an
    embedded word, which says what a budget is of: a network may lengthen its embeddings.
    """

    method: str
    seed: int
    clean: float
    word: float
    robust: tuple[float, ...]


@dataclass(frozen=True)
class EmbeddingRobustness:
    """What was found.

    >>> one = TrainedInEmbedding("PGD", 1, 0.8, 1.5, (0.7,))
    >>> EmbeddingRobustness((0.1,), (one,)).tables()["summary"].rows
    (('PGD', 0.8, 1.5, 0.7),)
    """

    eps: tuple[float, ...]
    found: tuple[TrainedInEmbedding, ...]

    def of(self, method: str) -> list[TrainedInEmbedding]:
        """Return the networks of a method."""
        return [each for each in self.found if each.method == method]

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every network."""
        names = ("clean", "length of a word", *(f"eps {eps:g}" for eps in self.eps))
        methods = dict.fromkeys(each.method for each in self.found)
        rows = []
        for method in methods:
            some = self.of(method)
            robust = [[each.robust[i] for each in some] for i in range(len(self.eps))]
            own = [[each.clean for each in some], [each.word for each in some]]
            rows.append(((method,), [*own, *robust]))
        every: tuple[tuple[Cell, ...], ...] = tuple(
            (e.method, e.seed, e.clean, e.word, *e.robust) for e in self.found
        )
        return {
            **spread_tables(("method",), names, rows),
            "networks": Table(("method", "seed", *names), every),
        }


def embedding_robustness(bench: Bench, settings: EmbeddingSettings) -> EmbeddingRobustness:
    """Train a small BERT, go on from there by each method, and attack all alike in the embedding, within
    each budget.

    Minimum-norm searches are no measure here: after training by PGD the network is nearly constant
    around a sentence, the linearised boundary a hundred times too far, and 50 steps of DDN and FMN left
    83 % where 40 of PGD left 16 %.

    >>> from saddlepoint.data import load_data
    >>> digits = load_data("digits", limit=1)
    >>> tiny = {"trained": 20, "measured": 20, "attacked": 4, "tuned": 1, "seeds": 1, "depth": 1}
    >>> settings = EmbeddingSettings(**tiny, steps=1, suite="quick", eps=(0.1,))
    >>> found = embedding_robustness(Bench(digits, lambda: digits), settings)
    >>> [each.method for each in found.found]
    ['standard', 'standard, as many passes', 'PGD', 'FreeLB']
    """
    course = Course(bench.progress, settings.seeds)
    found = []
    for i in range(settings.seeds):
        name = f"seed {i + 1}"
        rows = bench.part(name, partial(_of_seed, bench, settings, i, course.next(name)))["rows"]
        found += [TrainedInEmbedding(**{**row, "robust": tuple(row["robust"])}) for row in rows]
    return EmbeddingRobustness(settings.eps, tuple(found))


def _of_seed(
    bench: Bench, settings: EmbeddingSettings, number: int, progress: Any
) -> dict[str, Any]:
    seed = derive(bench.seed, "repetition", number)
    data = load_text(settings.texts, split="train", limit=settings.trained)
    test = load_text(settings.texts, split="test", limit=settings.measured, classes=data.classes)
    texts = [text for row in data.rows for text in row]
    framing = Framing(WordTokeniser.trained(texts, 4000), most=64, truncate=True)
    sentences, tests = Sentences(data, framing), Sentences(test, framing)
    design = replace(
        BERTS["bert-micro"], vocabulary=len(framing.tokeniser), width=settings.width,
        depth=settings.depth, hidden=2 * settings.width, dropout=0.0, attention_dropout=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model: nn.Module = with_head(Bert(design), len(data.classes), seed=seed).to(bench.device)
    course = Course(progress, 1 + len(METHODS))
    first = train(
        model, sentences, settings.recipe("standard"), seed=seed, progress=course.next("standard")
    ).model
    rows = []
    for method in METHODS:
        told, again = course.next(method), derive(seed, "again")
        tuned = train(
            copy.deepcopy(first), sentences, settings.recipe(method), seed=again, progress=told
        ).model
        embedded = EmbeddedText.of(tests, tuned)
        record = evaluate(
            FromEmbedding(tuned), first_of(embedded, settings.attacked), TokenL2(), eps=settings.eps,
            suite=settings.suite, seed=seed, diagnosis=None,
        )  # fmt: skip
        ids = torch.arange(len(tests))
        right = torch.cat([_right(tuned, embedded, some) for some in torch.split(ids, 256)])
        rows.append(
            {
                "method": method,
                "seed": number + 1,
                "clean": float(right.double().mean()),
                "word": _length(embedded),
                "robust": [each.robust_accuracy.value for each in record.budgets],
            }
        )
    return {"rows": rows}


def first_of(data: EmbeddedText, count: int) -> EmbeddedText:
    """Return the first sentences alone."""
    return replace(data, tokens=data.tokens.at(slice(0, count)), labels=data.labels[:count])


def _length(data: EmbeddedText) -> float:
    """Return the mean length of what may be moved of the first sentences, token by token."""
    x = data.images(torch.arange(min(len(data), 256)))
    return float(x[..., :-1].norm(dim=-1)[x[..., -1] == FREE].mean())


def _right(model: nn.Module, data: EmbeddedText, ids: Tensor) -> Tensor:
    with torch.no_grad():
        logits = FromEmbedding(model).eval()(data.images(ids))
    right: Tensor = logits.argmax(1).cpu() == data.labels[ids]
    return right


def draw_embedding_robustness(found: EmbeddingRobustness) -> Figure:
    """Draw the accuracy against the budget, and the clean accuracy of every network, by method.

    >>> one = TrainedInEmbedding("PGD", 1, 0.8, 1.5, (0.7,))
    >>> len(draw_embedding_robustness(EmbeddingRobustness((0.1,), (one,))).axes)
    2
    """
    named = looks(METHODS)
    with sheet(8.0, 3.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for place, (method, look) in enumerate(named.items()):
            some = found.of(method)
            if not some:
                continue
            line = {**look.line, "markersize": 3.5, "linewidth": 1.1}
            means = [
                100 * Spread.of([each.robust[i] for each in some]).mean
                for i in range(len(found.eps))
            ]
            left.plot(range(len(means)), means, **line)
            clean = [100 * each.clean for each in some]
            right.plot([place] * len(clean), clean, **{**line, "linestyle": "none"})
        left.set_xticks(range(len(found.eps)), [f"{eps:g}" for eps in found.eps])
        left.set_xlabel("eps (L2 of the whole perturbation)")
        left.set_ylim(-3, 103)
        right.set_xticks([])
        right.set_xlim(-0.6, len(named) - 0.4)
        title_left(left, "accuracy (%) within a budget")
        title_left(right, "clean accuracy (%), each network")
        legend_above(figure, keys_of(named))
    return figure
