"""Classification of sentences, or pairs of them."""

from __future__ import annotations

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
from saddlepoint.option_values import BelowOne, check_fields
from saddlepoint.progress import passed
from saddlepoint.text import Bert, FramedText, SequenceClassifier, TextData, with_head
from saddlepoint.text.registry import TextNetwork, without_head


@dataclass(frozen=True)
class Classify(TextObjective):
    """The cross-entropy of the classes of sentences or pairs.

    Args:
        label_smoothing: the share of the target spread over all classes.

    Reference: Devlin et al. 2019, arXiv:1810.04805, section 3.2.

    >>> Classify(label_smoothing=0.1).reads_text
    True
    """

    label_smoothing: BelowOne = 0.0

    reads_labels = True
    paper = "Devlin et al. 2019, arXiv:1810.04805"
    cost = "1 full pass"

    def __post_init__(self) -> None:
        check_fields(self)

    def fitted(
        self, model: TextNetwork, data: TextData, known: tuple[str, ...], seed: int
    ) -> TextNetwork:
        """Return the model with a head for the classes of texts."""
        self.check_classes(data)
        if isinstance(model, SequenceClassifier) and known == data.classes:
            return model
        bare = without_head(model)
        if not isinstance(bare, Bert) or data.labels is None:
            return bare
        return with_head(bare, len(data.classes), seed=seed)

    def begin(self, model: nn.Module, data: Data | None) -> Classifying:
        """Return what runs."""
        return Classifying(self, model, data)

    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return the logits of two texts."""
        if data.data.labels is None:
            raise InputError(f"{data.name} has no labels; name their column, or give other texts")
        if not isinstance(model, SequenceClassifier):
            raise wrong_model(self, model, "a BERT with a head for classes")
        check_same_tokens(data, model.bert.design.vocabulary)
        tokens, _ = data.batch(torch.arange(min(2, len(data))))
        logits: Tensor = model(tokens.to(model.head.linear.weight.device))
        self.check_outputs(logits.shape[1], data)
        return logits


class Classifying(RunningText):
    """A classification in training.

    Args:
        objective: what it was begun by.
        model, data: what is trained, and on what.
    """

    def __init__(self, objective: Classify, model: nn.Module, data: Data | None) -> None:
        super().__init__(model, data)
        self.objective = objective

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean over the texts."""
        with batch.autocast():
            logits = model(batch.tokens)
        passed(len(batch.ids))
        loss = functional.cross_entropy(
            logits.float(), batch.labels, label_smoothing=self.objective.label_smoothing
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput.classified(loss, logits, batch.labels)

    def measure(self, model: nn.Module, data: Data) -> Mapping[str, float]:
        """Return the accuracy of test texts."""
        assert isinstance(data, FramedText)
        right = 0
        with evaluating(model), torch.no_grad():
            for _, tokens, labels in in_batches(model, data):
                right += int((model(tokens).argmax(1) == labels).sum())
        return {"accuracy": right / len(data)}

    def names(self, data: FramedText) -> tuple[str, ...]:
        """Return the names of the classes."""
        return data.classes
