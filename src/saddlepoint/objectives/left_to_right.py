"""A language model from left to right: every word is predicted from those before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.data import Data
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.masked_language import encoded_twice
from saddlepoint.objectives.passes import evaluating
from saddlepoint.objectives.text_objective import RunningText, TextObjective, in_batches
from saddlepoint.progress import passed
from saddlepoint.text import Bert, FramedText, MLMHead, Tokens


@dataclass(frozen=True)
class LeftToRight(TextObjective):
    """The cross-entropy of the next token; the model is a BERT of the direction "left-to-right", and
    its head is that of masked words, trained beside it.

    Reference: Radford et al., Improving Language Understanding by Generative Pre-Training, 2018; Devlin
    et al. 2019, arXiv:1810.04805, section 5.1, compare with it.

    >>> LeftToRight().cost
    '1 full pass'
    """

    paper = "Radford et al. 2018, Generative Pre-Training"
    cost = "1 full pass"

    def begin(self, model: nn.Module, data: Data | None) -> Predicting:
        """Return what runs, with a head made for the model."""
        return Predicting(model, data)

    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return what the model makes of two sequences."""
        return encoded_twice(self, model, data, "left-to-right")


class Predicting(RunningText):
    """A language model in training: its `parts` are the head.

    Args:
        model, data: what is trained, and on what.
    """

    def __init__(self, model: nn.Module, data: Data | None) -> None:
        super().__init__(model, data)
        assert isinstance(model, Bert)
        design = model.design
        self.parts = MLMHead(design.width, design.vocabulary, design.initial)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean over all tokens but the first of each sequence."""
        with batch.autocast():
            logits, words = self._passed(model, batch.tokens)
        passed(len(batch.ids))
        loss = functional.cross_entropy(logits.float(), words)
        loss.backward()  # type: ignore[no-untyped-call]
        right = (logits.detach().argmax(1) == words).sum()
        return StepOutput(loss.detach(), {"token_accuracy": (right, len(words))})

    def measure(self, model: nn.Module, data: Data) -> Mapping[str, float]:
        """Return the perplexity of test texts."""
        assert isinstance(data, FramedText)
        total, count = 0.0, 0
        with evaluating(model), torch.no_grad():
            for _, tokens, _ in in_batches(model, data):
                logits, words = self._passed(model, tokens)
                total += float(functional.cross_entropy(logits, words, reduction="sum"))
                count += len(words)
        return {"perplexity": math.exp(min(total / count, 700.0))}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the head's tensors."""
        return dict(self.parts.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self.parts.load_state_dict(state)

    def _passed(self, model: nn.Module, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return the logits of every token but the first, and what it is."""
        assert isinstance(model, Bert)
        features, after = model(tokens)[:, :-1], tokens.keep[:, 1:]
        return self.parts(features[after], model.words.weight), tokens.ids[:, 1:][after]
