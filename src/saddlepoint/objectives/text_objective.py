"""What objectives of texts share: what they are given, what they check, what is written at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from saddlepoint.data import Data
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.passes import evaluating
from saddlepoint.text import FramedText, Framing, Sentences, TextData, Tokens
from saddlepoint.text.folder import METADATA, told_of
from saddlepoint.text.registry import TextNetwork, without_head
from saddlepoint.text.tokenisers import check_vocabulary

_ROWS = 128  # test sequences in one pass


class TextObjective(ABC):
    """A loss of sequences of tokens.

    A subclass says which sequences it is given (`framed`), what runs (`begin`), and which model it is
    of (`checked`).

    >>> from saddlepoint.objectives import Translate
    >>> isinstance(Translate(), TextObjective), Translate.reads_text
    (True, True)
    """

    reads_text: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = False

    def framed(self, data: TextData, framing: Framing, seed: int = 0) -> FramedText:
        """Return the sequences that the objective is given of texts; `seed` is of what is drawn."""
        return Sentences(data, framing)

    def fitted(
        self, model: TextNetwork, data: TextData, known: tuple[str, ...], seed: int
    ) -> TextNetwork:
        """Return the model with what the objective needs on it, and nothing else; `known` are the
        classes that it tells so far, `seed` is of what is new.
        """
        return without_head(model)

    def check_outputs(self, outputs: int, data: FramedText) -> None:
        """Raise `InputError` unless a model tells as many classes as the texts have."""
        if outputs != len(data.classes):
            raise InputError(
                f"the model tells {outputs} classes, and {data.name} has {len(data.classes)}"
            )

    def check_classes(self, data: TextData) -> None:
        """Raise `InputError` for texts of one class."""
        if len(data.classes) == 1:
            raise InputError(
                f"{data.name} has one class, {data.classes[0]}; a classifier needs two"
            )

    def check_tests(self, data: Data, test: FramedText) -> None:
        """Raise `InputError` unless test texts have what is measured on them: labels where those are
        learned, and a second text where training has one.
        """
        held = test.data
        if self.reads_labels and held.labels is None and held.tags is None:
            raise InputError(f"the test texts of {test.name} have no labels; name their column")
        if isinstance(data, FramedText) and data.data.of_pairs != held.of_pairs:
            first, second = (
                ("pairs", "single texts") if held.of_pairs else ("single texts", "pairs")
            )
            raise InputError(
                f"the test {test.name} holds {first}, and {data.name} {second}; give tests of the"
                " same columns"
            )

    @abstractmethod
    def begin(self, model: nn.Module, data: Data | None) -> RunningText:
        """Return what runs."""

    @abstractmethod
    def checked(self, model: nn.Module, data: FramedText) -> Tensor:
        """Return what the model makes of two sequences.

        Raises `InputError` where it, or the data, is of another objective.
        """

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Raise: what runs adds the gradients."""
        raise TypeError(f"{type(self).__name__} begins first; call begin(model, data)")

    def check(self, model: nn.Module, data: Data) -> None:
        """Raise `InputError` unless model and data are of this objective, the tokeniser has the
        model's vocabulary, and what comes out is finite.
        """
        if not isinstance(data, FramedText):
            raise InputError(f"{type(self).__name__} is of texts, and {data.name} holds none")
        with evaluating(model), torch.no_grad():
            made = self.checked(model, data)
        if not bool(made.isfinite().all()):
            raise InputError("the model returns NaN or infinite numbers; lower the learning rate")


class RunningText(Standing):
    """An objective of texts in training.

    Args:
        model: that is trained.
        data: its sequences.
    """

    def __init__(self, model: nn.Module, data: Data | None) -> None:
        self.data = data if isinstance(data, FramedText) else None

    def metadata(self, model: nn.Module) -> Mapping[str, str]:
        """Return what the final file of the weights holds beside them: the design of the model, and
        how texts became sequences.
        """
        if self.data is None:
            return {}
        return {METADATA: told_of(model, self.data.framing, self.names(self.data))}

    def names(self, data: FramedText) -> tuple[str, ...]:
        """Return the names of the classes that the model tells; none for most objectives."""
        return ()


def in_batches(model: nn.Module, data: FramedText) -> Iterator[tuple[Tensor, Tokens, Any]]:
    """Yield (indices, sequences, what is to be said) of test texts on the model's device."""
    device = next(iter(model.parameters())).device
    for ids in torch.split(torch.arange(len(data)), _ROWS):
        tokens, said = data.batch(ids)
        yield ids.to(device), tokens.to(device), said.to(device)


def check_same_tokens(data: FramedText, vocabulary: int) -> None:
    """Raise `InputError` unless the tokeniser has as many tokens as a model."""
    check_vocabulary(data.framing.tokeniser, vocabulary)


def wrong_model(objective: object, model: nn.Module, wanted: str) -> InputError:
    """Return the error of a model of another kind."""
    name = type(objective).__name__
    return InputError(
        f"{name} trains {wanted}, not a {type(model).__name__}; give --model such a one"
    )
