"""What is told of a model after an epoch: of a classifier its clean accuracy on test images."""

from __future__ import annotations

from saddlepoint.data import Data, ImageData
from saddlepoint.objectives import is_classification
from saddlepoint.training.accuracy import accuracy
from saddlepoint.training.state import State


def measured(state: State, test: Data, workers: int = 0) -> dict[str, float]:
    """Return the metrics of the test images by name, each beginning with "test_".

    Of an objective that trains no classifier they are what its `measure` returns, or that of what
    runs in its place; none where neither has one.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.defences import Recipe
    >>> from torch import nn
    >>> data = load_data("digits", limit=20)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> list(measured(State(net, Recipe(), images=20), data))
    ['test_accuracy']
    """
    if isinstance(test, ImageData) and is_classification(state.recipe.objective):
        return {"test_accuracy": accuracy(state.model, test, workers=workers)}
    for told in (state.objective, state.recipe.objective):
        measure = getattr(told, "measure", None)
        if callable(measure):
            return {
                f"test_{name}": float(value) for name, value in measure(state.model, test).items()
            }
    return {}
