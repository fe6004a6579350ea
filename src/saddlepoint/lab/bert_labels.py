"""What pre-training is worth where few labels are known, and which pre-training."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from saddlepoint.defences import load_recipe
from saddlepoint.errors import check_names
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.bert_features import FrozenFeatures
from saddlepoint.lab.bert_found import FROZEN, BertLabels, Tuned
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.text_tasks import few, tokeniser_for, trained_on
from saddlepoint.objectives import Classify, LeftToRight, MaskedLanguage, TextObjective
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course, Progress
from saddlepoint.streams import derive
from saddlepoint.text import MASKINGS, Bert, Framing, TextData, load_text, text_model, with_head
from saddlepoint.training import train

SCRATCH, TF_IDF = "from scratch", "TF-IDF, logistic regression"
_FEATURES = 4  # blocks, whose outputs are the features of a frozen BERT


def _masked(name: str, *, next_sentence: bool) -> MaskedLanguage:
    mix = MASKINGS[name]
    return MaskedLanguage(next_sentence, mix.share, mix.masked, mix.random)


STARTS: Mapping[str, TextObjective | None] = MappingProxyType(
    {
        SCRATCH: None,
        "words and next sentences": _masked("published", next_sentence=True),
        "words alone": _masked("published", next_sentence=False),
        "left to right": LeftToRight(),
        "all masked": _masked("all-masked", next_sentence=True),
        "all random": _masked("all-random", next_sentence=True),
    }
)
"""The pre-trainings by name; None is none."""


@dataclass(frozen=True)
class BertSettings(Settings):
    """Settings of `run_bert_labels`.

    Args:
        starts: names of `STARTS`; "all masked" and "all random" say what hidden words become in place
            of the published mix.
        labels: numbers of labelled sentences that are learned from.
        data: labelled sentences.
        documents: what is pre-trained on: long texts, or of a rule-made set sentences of one class,
            four of which are a document.
        read: documents at most.
        tested: test sentences at most.
        vocabulary: tokens.
        longest: tokens of a sequence; longer ones are cut.
        width, depth, heads: of the BERT.
        pretraining: epochs without labels.
        batch_tokens: of a step of it; with few texts many small steps are worth more than few large
            ones.
        tuned: epochs with labels.
        steps: of every training with labels, at least.
        rates: of training with labels; which one is chosen by a fifth of them.
        seeds: draws of labels and heads; the pre-training is done once.

    >>> BertSettings(starts=("nothing",))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown start 'nothing'; (known: from scratch, ...)
    """

    starts: tuple[str, ...] = tuple(STARTS)[:5]
    labels: tuple[Count, ...] = (100, 500, 2000)
    data: str = "text/sentences"
    documents: str = "text/reviews"
    read: Count = 12_000
    tested: Count = 2000
    vocabulary: Count = 4000
    longest: Count = 64
    width: Count = 128
    depth: Count = 4
    heads: Count = 4
    pretraining: Count = 1
    batch_tokens: Count = 1024
    tuned: Count = 6
    steps: Count = 300
    rates: tuple[Positive, ...] = (0.0003, 0.001)
    seeds: Count = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("labels")
        check_names("start", self.starts, STARTS)


@dataclass(frozen=True, eq=False)
class _Texts:
    sentences: TextData
    test: TextData
    documents: TextData
    framing: Framing


def run_bert_labels(bench: Bench, settings: BertSettings) -> BertLabels:
    """Pre-train a BERT in several ways, fine-tune each with few labels, and compare with a bag of
    words at the same labels. Devlin et al. 2019, arXiv:1810.04805, sections 5.1 and C.2.

    What is left to right sees the same texts, and is of the same size. A BERT of four blocks or more
    that was pre-trained is also left frozen, and gives its features to logistic regression.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=2), lambda: None)
    >>> settings = BertSettings(
    ...     (SCRATCH,), (10,), "rules:sentiment", "rules:sentiment", read=40, tested=9,
    ...     vocabulary=80, width=16, depth=1, heads=2, tuned=1, steps=1, seeds=1, rates=(0.001,),
    ... )
    >>> [each.start for each in run_bert_labels(bench, settings).found]
    ['TF-IDF, logistic regression', 'from scratch']
    """
    texts = _read(settings)
    course = Course(bench.progress, len(settings.starts))
    found = [
        Tuned(**bench.part(f"tf-idf, {count}, seed {i + 1}", partial(_bag, texts, bench, count, i)))
        for count in settings.labels
        for i in range(settings.seeds)
    ]
    for start in settings.starts:
        inner = Course(course.next(start), 1 + len(settings.labels) * settings.seeds)
        bert = _pretrained(bench, settings, texts, start, inner.next("pre-training"))
        for count in settings.labels:
            for i in range(settings.seeds):
                name = f"{start}, {count} labels, seed {i + 1}"
                told = inner.next(name)
                work = partial(_tuned, bench, settings, texts, bert, start, count, i, told)
                found.append(Tuned(**bench.part(name, work)))
        if STARTS[start] is not None and settings.depth >= _FEATURES:
            frozen = FrozenFeatures(bert, texts.framing, texts.test)
            found += [
                Tuned(**bench.part(f"features of {start}, {count} labels, seed {i + 1}",
                                   partial(_frozen, texts, frozen, start, bench, count, i)))
                for count in settings.labels
                for i in range(settings.seeds)
            ]  # fmt: skip
    return BertLabels(tuple(found), len(texts.test))


def _read(settings: BertSettings) -> _Texts:
    sentences = load_text(settings.data, split="train")
    test = load_text(settings.data, split="test", limit=settings.tested)
    documents = load_text(settings.documents, split="train", limit=settings.read)
    if settings.documents.startswith("rules:"):
        documents = _grouped(documents)
    tokeniser = tokeniser_for(documents, settings.vocabulary)
    return _Texts(sentences, test, documents, Framing(tokeniser, settings.longest, truncate=True))


def _grouped(data: TextData) -> TextData:
    """Return documents of four sentences of one class."""
    assert data.labels is not None
    rows: list[tuple[str, ...]] = []
    for k in range(len(data.classes)):
        own = [data.rows[i][0] for i in (data.labels == k).nonzero().flatten().tolist()]
        rows += [
            (" ".join(f"{text.capitalize()}." for text in own[i : i + 4]),)
            for i in range(0, len(own) - 3, 4)
        ]
    return TextData(data.name, data.split, tuple(rows))


def _pretrained(
    bench: Bench, settings: BertSettings, texts: _Texts, start: str, progress: Progress | None
) -> Bert:
    objective = STARTS[start]
    direction = "left-to-right" if isinstance(objective, LeftToRight) else "both"
    options = {
        "width": settings.width, "depth": settings.depth, "heads": settings.heads,
        "hidden": 4 * settings.width, "most": settings.longest, "direction": direction,
    }  # fmt: skip
    net = text_model("bert-micro").build(len(texts.framing.tokeniser), options, seed=bench.seed)
    assert isinstance(net, Bert)
    if objective is None:
        return net.to(bench.device)
    recipe = replace(
        load_recipe("bert-pretrain"), objective=objective, epochs=settings.pretraining,
        batch_tokens=settings.batch_tokens,
    )  # fmt: skip
    # All see the same pairs of sentences, those without the second task too.
    data = MaskedLanguage().framed(texts.documents, texts.framing, bench.seed)
    out = None if bench.parts is None else bench.parts / f"pre-training, {start}"
    return train(
        net.to(bench.device), data, recipe, out=out, resume=out is not None and out.is_dir(),
        seed=bench.seed, progress=progress,
    ).model  # type: ignore[return-value]  # fmt: skip


def _tuned(
    bench: Bench,
    settings: BertSettings,
    texts: _Texts,
    bert: Bert,
    start: str,
    count: int,
    number: int,
    progress: Progress | None,
) -> dict[str, Any]:
    seed = derive(bench.seed, "labels", number)
    data = few(texts.sentences, count, seed)
    fifth = torch.arange(len(data)) % 5 == 4
    kept, held = (data.at(rows.nonzero().flatten()) for rows in (~fifth, fifth))
    several = len(settings.rates) > 1
    course = Course(progress, (len(settings.rates) if several else 0) + 1)

    def fitted(part: TextData, test: TextData, rate: float, told: Progress | None) -> float:
        recipe = load_recipe("bert-finetune")
        recipe = replace(
            recipe,
            epochs=max(settings.tuned, math.ceil(settings.steps * recipe.batch_size / len(part))),
            optimiser=replace(recipe.optimiser, learning_rate=rate),
        )  # fmt: skip
        model = with_head(copy.deepcopy(bert), len(data.classes), seed=seed)
        objective = Classify()
        own = replace(bench, seed=seed, parts=None)
        result = trained_on(
            own, "", model.to(bench.device), objective, part, texts.framing, recipe, told
        )
        run = objective.begin(result.model, None)
        return run.measure(result.model, objective.framed(test, texts.framing))["accuracy"]

    rate = settings.rates[0]
    if several:
        scores = {
            each: fitted(kept, held, each, course.next(f"rate {each:g}")) for each in settings.rates
        }
        rate = max(scores, key=lambda each: scores[each])
    accuracy = fitted(data, texts.test, rate, course.next("all labels"))
    return {
        "start": start, "labels": count, "seed": number + 1, "rate": rate, "accuracy": accuracy
    }  # fmt: skip


def _frozen(
    texts: _Texts, frozen: FrozenFeatures, start: str, bench: Bench, count: int, number: int
) -> dict[str, Any]:
    data = few(texts.sentences, count, derive(bench.seed, "labels", number))
    return {
        "start": f"{start}{FROZEN}", "labels": count, "seed": number + 1, "rate": 0.0,
        "accuracy": frozen.accuracy(data),
    }  # fmt: skip


def _bag(texts: _Texts, bench: Bench, count: int, number: int) -> dict[str, Any]:
    """Return the accuracy of logistic regression on TF-IDF of words, fitted to the same labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    data = few(texts.sentences, count, derive(bench.seed, "labels", number))
    assert data.labels is not None
    assert texts.test.labels is not None
    words = TfidfVectorizer()
    model = LogisticRegression(max_iter=1000).fit(
        words.fit_transform(_first(data.rows)), data.labels.numpy()
    )
    right = model.predict(words.transform(_first(texts.test.rows))) == texts.test.labels.numpy()
    return {
        "start": TF_IDF, "labels": count, "seed": number + 1, "rate": 0.0,
        "accuracy": float(right.mean()),
    }  # fmt: skip


def _first(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [row[0] for row in rows]
