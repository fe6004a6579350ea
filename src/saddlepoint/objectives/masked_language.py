"""BERT's pre-training: hidden words are predicted from both sides, and whether B follows A."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.data import Data
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import evaluating
from saddlepoint.objectives.text_objective import (
    RunningText,
    TextObjective,
    check_same_tokens,
    in_batches,
    wrong_model,
)
from saddlepoint.option_values import Fraction, check_fields
from saddlepoint.progress import passed
from saddlepoint.text import (
    Bert,
    FramedText,
    Framing,
    Masking,
    MLMHead,
    NextSentences,
    NSPHead,
    Sentences,
    TextData,
    Tokens,
)
from saddlepoint.text.tokens import IGNORED


@dataclass(frozen=True)
class MaskedLanguage(TextObjective):
    """The cross-entropy of hidden words, MLM, and of whether the second sentence follows, NSP.

    The model is the encoder; the heads are trained beside it, and fine-tuning takes the encoder
    alone. Masks are functions of (seed, epoch, index). A batch of which nothing is chosen has the
    loss 0. The texts are documents where there is NSP, whose pairs are drawn once, as published.

    Args:
        next_sentence: whether there is NSP.
        share, masked, random: see `saddlepoint.text.Masking`.

    Raises `InputError` for shares that are none.

    Reference: Devlin et al. 2019, arXiv:1810.04805.

    >>> MaskedLanguage(next_sentence=False).masking.share
    0.15
    """

    next_sentence: bool = True
    share: Fraction = 0.15
    masked: float = 0.8
    random: float = 0.1

    paper = "Devlin et al. 2019, arXiv:1810.04805"
    cost = "1 full pass, and one of the heads on 15 % of the tokens"

    def __post_init__(self) -> None:
        check_fields(self)
        _ = self.masking

    @property
    def masking(self) -> Masking:
        """How words are hidden."""
        return Masking(self.share, self.masked, self.random)

    def framed(self, data: TextData, framing: Framing, seed: int = 0) -> FramedText:
        """Return pairs of sentences of documents, or without NSP the texts as they are."""
        if self.next_sentence:
            return NextSentences(data, framing, seed)
        return Sentences(data, framing)

    def begin(self, model: nn.Module, data: Data | None) -> Hiding:
        """Return what runs, with heads made for the model."""
        return Hiding(self, model, data)

    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return what the model makes of two sequences."""
        hidden = encoded_twice(self, model, data, "both")
        if self.next_sentence and not isinstance(data, NextSentences):
            raise InputError(
                f"{data.name} holds no pairs of sentences of documents; set next_sentence=false, or"
                " give documents"
            )
        return hidden


class Hiding(RunningText):
    """A masked language model in training: its `parts` are the heads.

    Args:
        objective: what it was begun by.
        model, data: what is trained, and on what.

    >>> from saddlepoint.text import BertDesign
    >>> run = MaskedLanguage().begin(Bert(BertDesign(20, 16, 1, 2, 32, 8)), None)
    >>> sorted(name for name, _ in run.parts.named_children())
    ['mlm', 'nsp']
    """

    def __init__(self, objective: MaskedLanguage, model: nn.Module, data: Data | None) -> None:
        super().__init__(model, data)
        assert isinstance(model, Bert)
        self.objective = objective
        d, std = model.design.width, model.design.initial
        heads: dict[str, nn.Module] = {"mlm": MLMHead(d, model.design.vocabulary, std)}
        if objective.next_sentence:
            heads["nsp"] = NSPHead(d, std)
        self.parts = nn.ModuleDict(heads)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of MLM + NSP."""
        with batch.autocast():
            logits, words, follows = self._passed(
                model, batch.tokens, batch.ids, batch.seed, batch.epoch
            )
        passed(len(batch.ids))
        right = (logits.detach().argmax(1) == words).sum()
        sums: dict[str, tuple[Tensor, int]] = {"word_accuracy": (right, len(words))}
        loss = functional.cross_entropy(logits.float(), words, reduction="sum") / max(len(words), 1)
        if follows is not None:
            loss = loss + functional.cross_entropy(follows.float(), batch.labels)
            told = (follows.detach().argmax(1) == batch.labels).sum()
            sums["next_sentence_accuracy"] = (told, len(batch.labels))
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput(loss.detach(), {k: (v, n) for k, (v, n) in sums.items() if n})

    def measure(self, model: nn.Module, data: Data) -> Mapping[str, float]:
        """Return the perplexity and the accuracy of hidden words of test texts, and the accuracy of
        NSP, under masks of seed 0, the same after every epoch.
        """
        assert isinstance(data, FramedText)
        total, right, count, told = 0.0, 0, 0, 0
        with evaluating(model), evaluating(self.parts), torch.no_grad():
            for ids, tokens, labels in in_batches(model, data):
                logits, words, follows = self._passed(model, tokens, ids, 0, 0)
                total += float(functional.cross_entropy(logits, words, reduction="sum"))
                right += int((logits.argmax(1) == words).sum())
                count += len(words)
                if follows is not None:
                    told += int((follows.argmax(1) == labels).sum())
        found = {
            "word_perplexity": math.exp(min(total / max(count, 1), 700.0)),
            "word_accuracy": right / max(count, 1),
        }
        if self.objective.next_sentence:
            found["next_sentence_accuracy"] = told / len(data)
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Return the heads' tensors."""
        return dict(self.parts.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self.parts.load_state_dict(state)

    def _passed(
        self, model: nn.Module, tokens: Tokens, ids: Tensor, seed: int, epoch: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the logits of the words that were hidden, what they were, and the logits of NSP."""
        assert isinstance(model, Bert)
        hidden = self.objective.masking.apply(
            tokens, seed, ids, epoch, vocabulary=model.design.vocabulary
        )
        features = model(hidden.tokens)
        chosen = hidden.labels != IGNORED
        logits = self.parts["mlm"](features[chosen], model.words.weight)
        if not self.objective.next_sentence:
            return logits, hidden.labels[chosen], None
        return logits, hidden.labels[chosen], self.parts["nsp"](model.pooled(features, tokens.keep))


def encoded_twice(objective: object, model: nn.Module, data: FramedText, direction: str) -> Tensor:
    """Return what a BERT makes of two sequences.

    Raises `InputError` for another model, or one that looks in another direction.
    """
    if not isinstance(model, Bert):
        raise wrong_model(objective, model, "a BERT")
    if model.design.direction != direction:
        raise InputError(
            f"the model's direction is {model.design.direction}, and {type(objective).__name__} is of"
            f" one that looks to {'both sides' if direction == 'both' else 'the left alone'}; give"
            f" --model-option direction={direction}"
        )
    check_same_tokens(data, model.design.vocabulary)
    tokens, _ = data.batch(torch.arange(min(2, len(data))))
    made: Tensor = model(tokens.to(model.words.weight.device))
    return made
