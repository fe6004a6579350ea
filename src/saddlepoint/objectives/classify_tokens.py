"""Classification of the words of a text, each for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.data import Data
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import evaluating
from saddlepoint.objectives.text_objective import (
    RunningText,
    TextObjective,
    check_same_tokens,
    in_batches,
    wrong_model,
)
from saddlepoint.option_values import BelowOne, check_fields
from saddlepoint.progress import passed
from saddlepoint.text import (
    Bert,
    FramedText,
    Framing,
    TaggedWords,
    TextData,
    TokenClassifier,
    with_token_head,
)
from saddlepoint.text.registry import TextNetwork, without_head
from saddlepoint.text.tokens import IGNORED


@dataclass(frozen=True)
class ClassifyTokens(TextObjective):
    """The mean cross-entropy of the classes of all words of a batch, each read at its first token.

    Args:
        label_smoothing: the share of the target spread over all classes.

    Reference: Devlin et al. 2019, arXiv:1810.04805, section 5.3.

    >>> ClassifyTokens(label_smoothing=0.1).reads_text
    True
    """

    label_smoothing: BelowOne = 0.0

    reads_labels = True
    paper = "Devlin et al. 2019, arXiv:1810.04805"
    cost = "1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)

    def framed(self, data: TextData, framing: Framing, seed: int = 0) -> FramedText:
        """Return the sequences of texts with a class for each word."""
        return TaggedWords(data, framing)

    def fitted(
        self, model: TextNetwork, data: TextData, known: tuple[str, ...], seed: int
    ) -> TextNetwork:
        """Return the model with a head for the classes of words."""
        self.check_classes(data)
        if isinstance(model, TokenClassifier) and known == data.classes:
            return model
        bare = without_head(model)
        if not isinstance(bare, Bert) or data.tags is None:
            return bare
        return with_token_head(bare, len(data.classes), seed=seed)

    def begin(self, model: nn.Module, data: Data | None) -> ClassifyingTokens:
        """Return what runs."""
        return ClassifyingTokens(self, model, data)

    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return the logits of the tokens of two texts."""
        if not isinstance(model, TokenClassifier) or not isinstance(data, TaggedWords):
            raise wrong_model(self, model, "a BERT with a head for the classes of words")
        check_same_tokens(data, model.bert.design.vocabulary)
        tokens, _ = data.batch(torch.arange(min(2, len(data))))
        logits: Tensor = model(tokens.to(model.head.linear.weight.device))
        self.check_outputs(logits.shape[-1], data)
        return logits


class ClassifyingTokens(RunningText):
    """A classification of words in training.

    Args:
        objective: what it was begun by.
        model, data: what is trained, and on what.
    """

    def __init__(self, objective: ClassifyTokens, model: nn.Module, data: Data | None) -> None:
        super().__init__(model, data)
        self.objective = objective

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean over the words."""
        chosen = batch.labels != IGNORED
        with batch.autocast():
            logits = model(batch.tokens)[chosen]
        passed(len(batch.ids))
        labels = batch.labels[chosen]
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self.objective.label_smoothing
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput.classified(loss, logits, labels)

    def measure(self, model: nn.Module, data: Data) -> Mapping[str, float]:
        """Return the share of words of test texts whose class is told right, and of texts without any
        mistake.
        """
        assert isinstance(data, TaggedWords)
        right, words, exact = 0, 0, 0
        with evaluating(model), torch.no_grad():
            for _, tokens, labels in in_batches(model, data):
                chosen = labels != IGNORED
                wrong = chosen & (model(tokens).argmax(-1) != labels)
                words += int(chosen.sum())
                right += int(chosen.sum() - wrong.sum())
                exact += int((~wrong.any(1)).sum())
        return {"accuracy": right / words, "exact_match": exact / len(data)}

    def names(self, data: FramedText) -> tuple[str, ...]:
        """Return the names of the classes."""
        return data.classes
