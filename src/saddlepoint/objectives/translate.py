"""Translation: every word of the target is predicted from the source and the words before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saddlepoint.data import Data
from saddlepoint.errors import unknown
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.passes import evaluating
from saddlepoint.objectives.text_objective import (
    RunningText,
    TextObjective,
    check_same_tokens,
    in_batches,
    wrong_model,
)
from saddlepoint.option_values import BelowOne, Natural, check_fields
from saddlepoint.progress import passed
from saddlepoint.text import (
    SMOOTHINGS,
    FramedText,
    Framing,
    Greedy,
    TextData,
    Tokens,
    Transformer,
    Translations,
    next_tokens,
)
from saddlepoint.text.tokens import IGNORED


@dataclass(frozen=True)
class Translate(TextObjective):
    """The mean cross-entropy of the target's tokens, with label smoothing.

    Args:
        label_smoothing: ε.
        smoothing: what ε is spread over, "all" words or the "others"; see
            `saddlepoint.text.SMOOTHINGS`.
        written: test sentences that are written out, token after token, and compared with the target
            after every epoch: the first so many.

    Reference: Vaswani et al. 2017, arXiv:1706.03762.

    >>> Translate(smoothing="some")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown smoothing 'some'; did you mean 'others'? (known: all, others)
    """

    label_smoothing: BelowOne = 0.1
    smoothing: str = "all"
    written: Natural = 256

    paper = "Vaswani et al. 2017, arXiv:1706.03762"
    cost = "1 full pass of encoder and decoder"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.smoothing not in SMOOTHINGS:
            raise unknown("smoothing", self.smoothing, SMOOTHINGS)

    def framed(self, data: TextData, framing: Framing, seed: int = 0) -> FramedText:
        """Return the sequences of pairs of texts."""
        return Translations(data, framing)

    def begin(self, model: nn.Module, data: Data | None) -> Translating:
        """Return what runs."""
        return Translating(self, model, data)

    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return the logits of two pairs."""
        if not isinstance(model, Transformer) or not isinstance(data, Translations):
            raise wrong_model(self, model, "a Transformer on pairs of texts")
        check_same_tokens(data, model.design.vocabulary)
        source, target = data.batch(torch.arange(min(2, len(data))))
        device = model.embedding.weight.device
        made: Tensor = model(source.to(device), target.to(device))
        return made


class Translating(RunningText):
    """A translation in training.

    Args:
        objective: what it was begun by.
        model, data: what is trained, and on what.
    """

    def __init__(self, objective: Translate, model: nn.Module, data: Data | None) -> None:
        super().__init__(model, data)
        self.objective = objective
        self.smoothing = SMOOTHINGS[objective.smoothing](objective.label_smoothing)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the mean over the tokens of all targets."""
        assert isinstance(model, Transformer)
        assert batch.written is not None
        with batch.autocast():
            logits, labels = _predicted(model, batch.tokens, batch.written)
        passed(len(batch.ids))
        loss = self.smoothing.loss(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        right = (logits.detach().argmax(1) == labels).sum()
        return StepOutput(loss.detach(), {"token_accuracy": (right, len(labels))})

    def measure(self, model: nn.Module, data: Data) -> Mapping[str, float]:
        """Return the perplexity of test targets, and the share of the first ones that greedy decoding
        writes exactly.
        """
        assert isinstance(model, Transformer)
        assert isinstance(data, FramedText)
        total, right, count, exact, written = 0.0, 0, 0, 0, 0
        with evaluating(model), torch.no_grad():
            for ids, source, target in in_batches(model, data):
                logits, labels = _predicted(model, source, target)
                total += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(1) == labels).sum())
                count += len(labels)
                first = slice(0, max(0, self.objective.written - int(ids[0])))
                if first.stop:
                    source, target = source.at(first), target.at(first)
                    # As long as the target at least: what is written in letters may be long.
                    extra = max(Greedy().extra, int((target.lengths - source.lengths).max()))
                    rows = Greedy(extra).write(model, source).ids
                    wanted = [
                        row[1:n]
                        for row, n in zip(target.ids.tolist(), target.lengths.tolist(), strict=True)
                    ]
                    exact += sum(a == b for a, b in zip(rows, wanted, strict=True))
                    written += len(rows)
        found = {"perplexity": math.exp(min(total / count, 700.0)), "token_accuracy": right / count}
        return {**found, "exact_match": exact / written} if written else found


def _predicted(model: Transformer, source: Tokens, target: Tokens) -> tuple[Tensor, Tensor]:
    """Return logits and labels of all tokens of the targets, padding left out."""
    labels = next_tokens(target)
    hidden = model.decode(target, model.encode(source), source.keep)
    chosen = labels != IGNORED
    return model.logits(hidden[chosen]), labels[chosen]
