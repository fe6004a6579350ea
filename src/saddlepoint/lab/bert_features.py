"""Classifiers on what a frozen BERT makes of sentences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from saddlepoint.text import Bert, Framing, TextData, last_four

_AT_ONCE = 256
_PENALTIES = (0.001, 0.01, 0.1, 1.0)  # C of scikit-learn


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """The means over the tokens of a sentence, [CLS] and [SEP] among them, of what the last four
    blocks make of each.

    Devlin et al. 2019, arXiv:1810.04805, section 5.3, where a recurrence reads the words' features.

    Args:
        bert: is left as it is.
        framing: of its tokeniser.
        test: sentences and labels.

    >>> from saddlepoint.lab.text_tasks import tokeniser_for
    >>> from saddlepoint.text import load_text, text_model
    >>> texts = load_text("rules:sentiment", split="train", limit=20)
    >>> framing = Framing(tokeniser_for(texts, 80), 32)
    >>> bert = text_model("bert-micro").build(80, {"width": 16, "heads": 2}, seed=0)
    >>> features = FrozenFeatures(bert, framing, texts)
    >>> features.of(texts).shape, 0.5 <= features.accuracy(texts) <= 1
    ((20, 64), True)
    """

    bert: Bert
    framing: Framing
    test: TextData

    def of(self, data: TextData) -> NDArray[np.float64]:
        """Return the features of every sentence, (n, 4d)."""
        device = next(self.bert.parameters()).device
        self.bert.eval()
        found = []
        for start in range(0, len(data), _AT_ONCE):
            texts = [row[0] for row in data.rows[start : start + _AT_ONCE]]
            tokens = self.framing.singles(texts).tokens.to(device)
            keep = tokens.keep.unsqueeze(-1)
            with torch.no_grad():
                summed = (last_four(self.bert, tokens) * keep).sum(1)
            found.append((summed / keep.sum(1)).double().cpu().numpy())
        return np.concatenate(found)

    @cached_property
    def _tested(self) -> NDArray[np.float64]:
        return self.of(self.test)

    def accuracy(self, data: TextData) -> float:
        """Return the test accuracy of logistic regression on the features of labelled sentences, its
        penalty chosen by fifths of them.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        assert data.labels is not None
        assert self.test.labels is not None
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model = GridSearchCV(logistic, {"logisticregression__C": _PENALTIES}, cv=5)
        model.fit(self.of(data), data.labels.numpy())
        return float(model.score(self._tested, self.test.labels.numpy()))
