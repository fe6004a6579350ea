"""The inner loop of C&W's attacks: Adam on penalty + c·f, with a c, a rate and an end per sample.

Plain functions, which the L2, L0 and Linf attacks call with their own penalties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.adam import EPSILON, Adam
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BOXES, Frame
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import OBJECTIVES
from saddlepoint.threat.norms import expand, norm

Penalty = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the change (m, …) and one number per sample (m,) to the penalty (m,) and its gradient."""
First = tuple[Tensor, Tensor]
"""Logits and gradient of f at a start that is used again."""

PAPER = "Carlini and Wagner 2017, arXiv:1608.04644"

# The least c that holds a boundary point in place, if f were linear, times this much.
_ABOVE = 3.0
_SMALLEST, HUGE = 1e-30, 1e30
_FALL = 0.25
_LARGEST = 1e18  # its square is finite in float32


@dataclass(frozen=True)
class Descent:
    """How the inner loop descends.

    Args:
        objective: a key of `OBJECTIVES`.
        box: a key of `BOXES`.
        steps: Adam's iterations at most.
        learning_rate: Adam's.
        patience: steps without progress after which a sample's rate falls, or it is finished.
            Progress is a loss lower by the share `tolerance` or, before the first success, a lower
            f.
        tolerance: see `patience`.
        decays: how often the rate falls, to a quarter, before the sample is finished.
        rates: (n,) the first rate of each image of the caller's batch, in place of `learning_rate`.

    >>> Descent("f6", "tanh", 1000, 0.01, 100, 1e-4, 0).box
    'tanh'
    """

    objective: str
    box: str
    steps: int
    learning_rate: float
    patience: int
    tolerance: float
    decays: int
    rates: Float[Tensor, " n"] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, attack: object) -> Descent:
        """Return the descent of an attack with options of these names."""
        names = [each.name for each in fields(cls) if each.name != "rates"]
        return cls(**{name: getattr(attack, name) for name in names})


def squared_length(change: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    """Return ‖δ‖₂² and its gradient.

    >>> squared_length(torch.tensor([[3.0, 4.0]]), torch.zeros(1))
    (tensor([25.]), tensor([[6., 8.]]))
    """
    return change.square().flatten(1).sum(1), 2 * change


def first_gradient(batch: Batch, start: Tensor, how: Descent) -> First:
    """Return the logits and gradient of f where the loop begins; they do not depend on c.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.tensor([[0.5, 0.25]]), torch.arange(1)
    >>> with Guard(torch.nn.Flatten(), count=1) as guard:
    ...     batch = Batch(guard, L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    ...     first_gradient(batch, x, Descent("f6", "clipped", 9, 0.01, 9, 0.0, 0))[1]
    tensor([[ 1., -1.]])
    """
    box, frame = BOXES[how.box], Frame.of(*batch.bounds)
    return _gradient(batch, box.image(box.begin(start, frame), frame), how)


def descend(
    batch: Batch,
    tracker: Tracker,
    start: Float[Tensor, "m ..."],
    c: Float[Tensor, " m"],
    how: Descent,
    penalty: Penalty = squared_length,
    size: Float[Tensor, " m"] | None = None,
    first: First | None = None,
    enough: float | None = None,
) -> tuple[Bool[Tensor, " m"], Float[Tensor, "m ..."]]:
    """Minimise penalty(δ, size) + c·f(x + δ); return who succeeded on the way, and the last images.

    Every iterate is recorded in `tracker`. `first` is what `first_gradient` returned for this start.
    Where `enough` is given, only a fooling iterate whose penalty is at most that is a success, and
    it ends the sample's descent.
    """
    box = BOXES[how.box]
    rows = torch.arange(len(batch), device=start.device)
    success = torch.zeros_like(rows, dtype=torch.bool)
    last = start.clone()
    size = torch.zeros_like(c) if size is None else size
    clean, frame = batch.clean, Frame.of(*batch.bounds)
    w = box.begin(start, frame)
    adam = Adam(w)
    least, lowest = torch.full_like(c, torch.inf), torch.full_like(c, torch.inf)
    rate = torch.full_like(c, how.learning_rate) if how.rates is None else how.rates[batch.index]
    stale, fallen, found = torch.zeros_like(rows), torch.zeros_like(rows), success.clone()
    for step in range(how.steps):
        x = box.image(w, frame)
        logits, gradient = first if step == 0 and first else _gradient(batch, x, how)
        tracker.record(batch, x, logits)
        # As sure as the tracker wants it: the two must agree on what a success is.
        fooled = batch.surely_fooled(logits)
        f = OBJECTIVES[how.objective](batch.criterion, logits, batch.goals).to(c.dtype)
        value, slope = penalty(box.measured(w, x) - clean, size)
        found |= fooled if enough is None else fooled & (value <= enough)
        loss = value + c * f
        lower, nearer = loss < least * (1 - how.tolerance), ~found & (f < lowest)
        stale = torch.where(lower | nearer, 0, stale + 1)
        least, lowest = torch.where(lower, loss, least), torch.minimum(f, lowest)
        tired = stale >= how.patience
        fallen, stale = fallen + tired, torch.where(tired, 0, stale)
        rate = torch.where(tired, _FALL * rate, rate)
        done = (fallen > how.decays) if enough is None else (fallen > how.decays) | found
        if step == how.steps - 1:
            done = torch.ones_like(done)
        if bool(done.any()):
            success[rows[done]], last[rows[done]] = found[done], x[done]
            go = ~done
            if not bool(go.any()):
                break
            batch, rows, frame = batch.at(go), rows[go], frame.at(go)
            adam.drop_to(go)
            kept = (x, w, clean, gradient, slope)
            x, w, clean, gradient, slope = (t[go] for t in kept)
            per_sample = (c, size, least, lowest, rate)
            c, size, least, lowest, rate = (t[go] for t in per_sample)
            stale, fallen, found = stale[go], fallen[go], found[go]
        gradient = box.chain(expand(c, x) * gradient, slope, x, w, frame)
        gradient = gradient.clamp_(-_LARGEST, _LARGEST)
        adam.update(gradient)
        root = adam.square.div(adam.square_part).sqrt_().add_(EPSILON)
        move = (adam.mean / root).mul_(expand(rate / adam.mean_part, x))
        w = box.settle(w - move, frame)
    return success, last


def raising(
    batch: Batch,
    tracker: Tracker,
    start: Float[Tensor, "m ..."],
    c: Float[Tensor, " m"],
    how: Descent,
    penalty: Penalty = squared_length,
    size: Float[Tensor, " m"] | None = None,
    *,
    enough: float,
    factor: float,
    searches: int,
) -> tuple[Bool[Tensor, " m"], Float[Tensor, "m ..."], Float[Tensor, " m"]]:
    """Descend from `start` with c, and where that fails go on with `factor` times it, `searches`
    times at most.

    Return who has a success, its image (else the start), and its c (else the first). The rest is as
    for `descend`.
    """
    found, x, raised = torch.zeros_like(c, dtype=torch.bool), start.clone(), c.clone()
    begin = start
    rows = torch.arange(len(batch), device=c.device)
    for _ in range(searches):
        sizes = None if size is None else size[rows]
        here, last = descend(
            batch.at(rows), tracker, begin[rows], raised[rows], how, penalty, sizes, enough=enough
        )
        begin = begin.index_copy(0, rows, last)
        good = rows[here]
        found[good], x[good] = True, last[here]
        rows = rows[~here]
        if not len(rows):
            break
        raised[rows] = (factor * raised[rows]).clamp_max(HUGE)
    return found, x, torch.where(found, raised, c)


def estimate(batch: Batch, first: First, objective: str) -> tuple[Tensor, Tensor]:
    """Return the c to begin with, and the distance to the boundary, as if f were linear.

    A gradient of zero says nothing; c is then the paper's 1e-3 and the distance 1.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.threat import L2
    >>> x, rows = torch.tensor([[0.8, 0.2]]), torch.arange(1)
    >>> batch = Batch(Guard(torch.nn.Flatten(), 1), L2(), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> estimate(batch, (x, torch.tensor([[1.0, -1.0]])), "f6")
    (tensor([1.8000]), tensor([0.4243]))
    """
    logits, gradient = first
    size = norm(gradient, 2)
    f = OBJECTIVES[objective](batch.criterion, logits, batch.goals).to(size.dtype)
    usable = (size > 0) & (f > 0)
    size = torch.where(usable, size, 1.0)
    reach = (f / size).clamp_max(HUGE)
    c = (_ABOVE * 2 * reach / size).clamp(_SMALLEST, HUGE)
    return torch.where(usable, c, 1e-3), torch.where(usable, reach, 1.0)


def _gradient(batch: Batch, x: Tensor, how: Descent) -> First:
    def objective(logits: Tensor) -> Tensor:
        return OBJECTIVES[how.objective](batch.criterion, logits, batch.goals)

    return batch.gradient(x, objective)
