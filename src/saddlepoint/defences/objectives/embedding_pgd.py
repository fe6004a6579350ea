"""Adversarial training of texts, perturbed after their embedding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks import FIXED_BUDGET, PGD, Attack
from saddlepoint.data import Data
from saddlepoint.defences.objectives.in_embedding import InEmbedding
from saddlepoint.errors import InputError
from saddlepoint.objectives.classify import Classify
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.text import Embeds, FromEmbedding, flagged
from saddlepoint.threat import Holding, TokenL2

_PGD = PGD(TokenL2(0.1), steps=3)  # a word is about 0.6 long: at as much nothing is learned


@dataclass(frozen=True)
class EmbeddingPGD(Classify):
    """Cross-entropy at E(x) + δ alone, δ made by an attack on the current model.

    The attack sees the embeddings as they are, without dropout; the descent goes through E(x) again,
    δ held, so that the table of words learns too.

    Args:
        label_smoothing: the share of the target spread over all classes.
        attack: the inner maximisation, whose threat model is of embedded text; its last iterate is
            trained on.

    Raises `InputError` for another attack or threat model.

    Reference: Madry et al. 2018, arXiv:1706.06083, on embeddings as Miyato, Dai and Goodfellow 2017,
    arXiv:1605.07725.

    >>> from saddlepoint.threat import Linf
    >>> EmbeddingPGD(attack=PGD(Linf(0.1)))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: embedding-pgd moves embedded text, and its attack has Linf 0.1; ...
    """

    attack: Attack = _PGD

    paper = "Miyato et al. 2017, arXiv:1605.07725; Madry et al. 2018, arXiv:1706.06083"
    cost = "its attack's, and 1 full pass: PGD-K K input passes"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.attack, Attack) or self.attack.kind is not FIXED_BUDGET:
            raise InputError("embedding-pgd needs a fixed-budget attack, for instance PGD")
        if not isinstance(self.attack.threat, Holding):
            raise InputError(
                f"embedding-pgd moves embedded text, and its attack has {self.attack.threat}; give the"
                " space embedding (TokenL2 …)"
            )

    def begin(self, model: nn.Module, data: Data | None) -> Attacked:
        """Return what runs."""
        return Attacked(self, model, data)


class Attacked(InEmbedding):
    """A run of adversarial training in the embedding.

    >>> issubclass(Attacked, InEmbedding)
    True
    """

    objective: EmbeddingPGD

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Attack, then add the gradients at what was found."""
        loss, logits = self.passed(model, batch, self._found(model, batch))
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput.classified(loss, logits, batch.labels)

    def _found(self, model: nn.Module, batch: TrainingBatch) -> Float[Tensor, "n t d"]:
        assert isinstance(model, Embeds)
        with torch.no_grad():
            x = flagged(model, batch.tokens)
        with batch.autocast():
            moved = self.objective.attack.candidates(
                FromEmbedding(model), x, batch.labels, seed=batch.seed, ids=batch.ids
            )
        return (moved - x)[..., :-1]
