"""Does the model differentiate while it answers?

A defence that optimises its input or itself at inference runs a gradient inside its forward pass.
Whether the attack's own gradient goes through that is not to be seen from outside, so that nothing
can be concluded; such a model needs an attack that was made for it. Calls of torch's
differentiation are watched during one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding


class GradientInside(Probe):
    """Whether a pass of the model asks for gradients.

    >>> GradientInside.most
    2
    """

    name = "gradient-inside"
    means = "The model takes gradients while it answers; no automatic attack is known to see through it."
    remedy = (
        "Attack it adaptively: differentiate through what it does, or replace it by a stand-in."
    )
    threshold = "any call"
    reference = "Croce et al. 2022, arXiv:2202.13711; the checks of AutoAttack's code"
    most = 2

    def measure(self, subject: Subject) -> Columns:
        """Return how many calls of a pass ask for gradients."""
        with subject.guarded() as (batch, _), torch.enable_grad(), _Watch() as watch:
            batch.guard.call(batch.images)
            calls = torch.full((len(batch),), watch.calls)
            return {"calls": calls, **passes_of(batch.guard)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        calls = int(rows["calls"].max()) if len(rows["calls"]) else 0
        judged = "undecidable" if calls else "healthy"
        return self.finding(judged, f"{calls} calls in a pass", len(rows["calls"]))  # type: ignore[arg-type]


class _Watch(TorchFunctionMode):
    """Counts the calls of torch's differentiation."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.calls += function in (torch.autograd.grad, Tensor.backward, torch.autograd.backward)
        return function(*args, **(kwargs or {}))
