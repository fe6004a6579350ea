"""How many labelled texts does a Transformer need, a recurrent and a convolutional network?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from saddlepoint.defences import Optimiser, Recipe, Schedule
from saddlepoint.errors import check_names
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.bert_found import BertLabels, Tuned
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.text_tasks import few, tokeniser_for, trained_on
from saddlepoint.lab.word_networks import WORD_NETWORKS
from saddlepoint.objectives import Classify
from saddlepoint.option_values import BelowOne, Count, Positive
from saddlepoint.progress import Course, Progress
from saddlepoint.streams import derive
from saddlepoint.text import BERTS, Framing, TextData, load_text, with_head


@dataclass(frozen=True)
class TextSizeSettings(Settings):
    """Settings of `run_text_data_size`.

    Args:
        networks: names of `WORD_NETWORKS`.
        labels: numbers of labelled texts that are learned from.
        data: labelled texts.
        tested: test texts at most.
        vocabulary: tokens, of texts of files.
        longest: tokens of a sequence; longer ones are cut.
        width, depth: features of a token, and blocks of the Transformer.
        dropout: of each network.
        steps: of every training, at least, however many texts it has.
        batch_size: texts of a step.
        rates: of Adam; which one is chosen by a fifth of the labels.
        seeds: draws of labels and weights.

    >>> TextSizeSettings(networks=("memory",))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown network 'memory'; (known: transformer, recurrent, convolution)
    """

    networks: tuple[str, ...] = tuple(WORD_NETWORKS)
    labels: tuple[Count, ...] = (100, 500, 2000, 8000)
    data: str = "rules:sentiment"
    tested: Count = 2000
    vocabulary: Count = 4000
    longest: Count = 64
    width: Count = 64
    depth: Count = 2
    dropout: BelowOne = 0.1
    steps: Count = 1000
    batch_size: Count = 32
    rates: tuple[Positive, ...] = (0.0005, 0.002)
    seeds: Count = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("labels")
        check_names("network", self.networks, WORD_NETWORKS)

    def recipe(self, texts: int, rate: float) -> Recipe:
        """Return Adam at a rate that rises for a tenth of the steps and falls to 0."""
        return Recipe(
            Classify(), epochs=math.ceil(self.steps * self.batch_size / texts),
            batch_size=self.batch_size, optimiser=Optimiser("adam", rate, clip_norm=1.0),
            schedule=Schedule("cosine", warmup=0.1),
        )  # fmt: skip


def run_text_data_size(bench: Bench, settings: TextSizeSettings) -> BertLabels:
    """Train each network from scratch on more and more labelled texts, for as many steps and with a
    learning rate of its own. After Vaswani et al. 2017, arXiv:1706.03762, section 4.

    >>> from saddlepoint.data import load_data
    >>> settings = TextSizeSettings(("recurrent",), (20,), tested=9, steps=1, seeds=1, rates=(0.001,))
    >>> found = run_text_data_size(Bench(load_data("digits", limit=2), lambda: None), settings)
    >>> [(each.start, each.labels) for each in found.found]
    [('recurrent', 20)]
    """
    texts = load_text(settings.data, split="train")
    test = load_text(settings.data, split="test", limit=settings.tested)
    tokeniser = tokeniser_for(texts, settings.vocabulary)
    framing = Framing(tokeniser, settings.longest, truncate=True)
    every = [
        (name, count, i)
        for name in settings.networks
        for count in settings.labels
        for i in range(settings.seeds)
    ]
    course, found = Course(bench.progress, len(every)), []
    for name, count, i in every:
        label = f"{name}, {count} labels, seed {i + 1}"
        work = partial(_one, bench, settings, texts, test, framing, (name, count, i))
        found.append(Tuned(**bench.part(label, partial(work, course.next(label)))))
    return BertLabels(tuple(found), len(test))


def _one(
    bench: Bench,
    settings: TextSizeSettings,
    texts: TextData,
    test: TextData,
    framing: Framing,
    which: tuple[str, int, int],
    progress: Progress | None,
) -> dict[str, Any]:
    name, count, number = which
    seed = derive(bench.seed, "labels", number)
    data, own = few(texts, count, seed), replace(bench, seed=seed, parts=None)
    course = Course(progress, len(settings.rates) + 1)

    def fitted(part: TextData, measured: TextData, rate: float) -> float:
        design = replace(
            BERTS["bert-micro"], vocabulary=len(framing.tokeniser), width=settings.width,
            depth=settings.depth, hidden=4 * settings.width, most=settings.longest,
            dropout=settings.dropout, attention_dropout=settings.dropout,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = WORD_NETWORKS[name](design)
        objective, told = Classify(), course.next(f"rate {rate:g}")
        result = trained_on(
            own, "", with_head(net, len(data.classes), seed=seed).to(bench.device), objective,
            part, framing, settings.recipe(len(part), rate), told,
        )  # fmt: skip
        run = objective.begin(result.model, None)
        return run.measure(result.model, objective.framed(measured, framing))["accuracy"]

    fifth = torch.arange(len(data)) % 5 == 4
    kept, held = (data.at(rows.nonzero().flatten()) for rows in (~fifth, fifth))
    scores = {each: fitted(kept, held, each) for each in settings.rates}
    rate = max(scores, key=lambda each: scores[each])
    return {
        "start": name, "labels": count, "seed": number + 1, "rate": rate,
        "accuracy": fitted(data, test, rate),
    }  # fmt: skip
