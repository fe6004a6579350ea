"""What the experiments on texts share: sets by name, tokenisers, and trainings that can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from saddlepoint.data import epoch_order
from saddlepoint.defences import Recipe, load_recipe
from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.objectives import TextObjective, Translate
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Progress
from saddlepoint.text import (
    BeamSearch,
    CharacterTokeniser,
    Framing,
    TextData,
    Tokeniser,
    TrainedText,
    Transformer,
    WordPieceTokeniser,
    WordTokeniser,
    bleu,
    load_text,
    text_model,
    translate,
)
from saddlepoint.text.text_sets import RULE
from saddlepoint.training import TrainingResult, train

_CHARACTERS = ("addition", "dates", "number-words")


def tokeniser_for(data: TextData, size: int) -> Tokeniser:
    """Return a tokeniser of a set: words or characters of a rule-made one, else WordPiece.

    >>> type(tokeniser_for(load_text("rules:dates", limit=5), 50)).__name__
    'CharacterTokeniser'
    """
    texts = [text for row in data.rows for text in row]
    if not data.name.startswith(RULE):
        return WordPieceTokeniser.trained(texts, size, lower=True)
    characters = data.name.removeprefix(RULE) in _CHARACTERS
    kind = CharacterTokeniser if characters else WordTokeniser
    return kind.trained(texts, size)


def trained_on(
    bench: Bench,
    name: str,
    model: nn.Module,
    objective: TextObjective,
    data: TextData,
    framing: Framing,
    recipe: Recipe,
    progress: Progress | None,
) -> TrainingResult:
    """Return a training on texts, which goes on where the bench keeps parts and it was stopped."""
    out = None if bench.parts is None else bench.parts / name
    return train(
        model,
        objective.framed(data, framing, bench.seed),
        recipe,
        out=out,
        resume=out is not None and out.is_dir(),
        seed=bench.seed,
        progress=progress,
    )


@dataclass(frozen=True)
class TranslationSettings(Settings):
    """Settings of every experiment that trains a Transformer; the epochs are its own.

    Args:
        width, depth, heads: of the Transformer; its perceptrons are four times as wide.
        dropout: of every branch.
        epochs: of each training.
        examples: of training at most.
        tested: examples of the test at most.
        rate: the peak.
        warmup: the share of training in which the rate rises.
        batch_tokens: of each side of a batch.

    >>> TranslationSettings().options()["hidden"]
    512
    """

    width: Count = 128
    depth: Count = 3
    heads: Count = 4
    dropout: float = 0.1
    epochs: Count = 20
    examples: Count = 20_000
    tested: Count = 2000
    rate: Positive = 0.002
    warmup: Positive = 0.1
    batch_tokens: Count = 2048

    def options(self) -> dict[str, Any]:
        """Return the options of the network."""
        return {
            "width": self.width,
            "depth": self.depth,
            "heads": self.heads,
            "hidden": 4 * self.width,
            "dropout": self.dropout,
        }

    def recipe(self, objective: TextObjective) -> Recipe:
        """Return the recipe `transformer` with these numbers."""
        plain = load_recipe("transformer")
        return replace(
            plain,
            objective=objective,
            epochs=self.epochs,
            batch_tokens=self.batch_tokens,
            optimiser=replace(plain.optimiser, learning_rate=self.rate),
            schedule=replace(plain.schedule, warmup=self.warmup),
        )


@dataclass(frozen=True, eq=False)
class TranslationTask:
    """Pairs of a set, and their tokeniser.

    Args:
        train, test: pairs.
        vocabulary: tokens at most.

    >>> pairs = load_text("rules:copy", split="train", limit=20)
    >>> len(TranslationTask(pairs, pairs, 40).framing.tokeniser) <= 40
    True
    """

    train: TextData
    test: TextData
    vocabulary: int = 4000

    @classmethod
    def named(
        cls, name: str, settings: TranslationSettings, vocabulary: int, words: int | None = None
    ) -> TranslationTask:
        """Return the task of a set."""
        train, test = (
            load_text(name, split=split, limit=count, words=words)
            for split, count in (("train", settings.examples), ("test", settings.tested))
        )
        return cls(train, test, vocabulary)

    @cached_property
    def framing(self) -> Framing:
        """The tokeniser of the training pairs, for both sides."""
        return Framing(tokeniser_for(self.train, self.vocabulary))

    def fitted(
        self,
        bench: Bench,
        name: str,
        settings: TranslationSettings,
        objective: Translate,
        changes: Mapping[str, Any],
        progress: Progress | None,
    ) -> tuple[TrainedText, dict[str, float]]:
        """Return a trained Transformer, the perplexity and the exact matches of the test, and
        the seconds of the training.

        Args:
            bench: keeps its checkpoints under `name`.
            settings: of it.
            objective: what is minimised.
            changes: options of the network in place of the settings'.
            progress: is told.
        """
        info = text_model("transformer-micro")
        options = {**settings.options(), **changes}
        if "width" in changes:
            options["hidden"] = 4 * options["width"]
        net = info.build(len(self.framing.tokeniser), options, seed=bench.seed)
        recipe = settings.recipe(objective)
        result = trained_on(
            bench, name, net.to(bench.device), objective, self.train, self.framing, recipe, progress
        )
        run = replace(objective, written=len(self.test)).begin(result.model, None)
        found = dict(run.measure(result.model, objective.framed(self.test, self.framing)))
        return TrainedText(result.model, self.framing, ()), {**found, "seconds": result.seconds}

    def bleu(self, trained: TrainedText, search: BeamSearch) -> float:
        """Return the BLEU of test translations, capitals as small letters, which the tokeniser has."""
        assert isinstance(trained.model, Transformer)
        sources, references = zip(*self.test.rows, strict=True)
        written = translate(trained, sources, search).written
        return bleu(written, references, lowercase=True).score


def few(data: TextData, count: int, seed: int) -> TextData:
    """Return so many texts, drawn by the seed, as many of each class.

    >>> from collections import Counter
    >>> found = few(load_text("rules:sentiment", split="train", limit=99), 10, 0)
    >>> assert found.labels is not None
    >>> found.labels.bincount().tolist()
    [5, 5]
    """
    assert data.labels is not None
    each, least = (
        count // len(data.classes),
        int(data.labels.bincount(minlength=len(data.classes)).min()),
    )
    if each * len(data.classes) != count or each > least:
        raise InputError(
            f"{count:,} labels were asked for, as many of each of {len(data.classes)} classes, and"
            f" {data.name} has {least:,} of one; give a multiple of {len(data.classes)} up to"
            f" {least * len(data.classes):,}"
        )
    order = epoch_order(len(data), seed, 0)
    labels = data.labels[order]
    chosen = [order[labels == k][:each] for k in range(len(data.classes))]
    return data.at(torch.cat(chosen).sort().values)
