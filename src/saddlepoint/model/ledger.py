"""What the passes of a guard cost, and what went wrong in them, sample by sample."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from functools import cache
from types import CodeType
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.answers import unanswered

_COUNTS = ("forwards", "backwards", "_broken", "_unsound")


class Ledger:
    """The account of the n samples of a guard.

    An index names the rows of the batch that a pass was for; None is all. A row may come several
    times in one pass: a gradient-free attack asks many questions.

    >>> ledger = Ledger(2, torch.device("cpu"))
    >>> ledger.spend(ledger.forwards, torch.tensor([1, 1]), 3)
    >>> ledger.forwards
    tensor([0, 6])
    """

    forwards: Int64[Tensor, " n"]
    backwards: Int64[Tensor, " n"]

    def __init__(self, count: int, device: torch.device) -> None:
        with torch.inference_mode(False):
            self.forwards, self.backwards, self._broken, self._unsound = (
                torch.zeros(count, dtype=torch.int64, device=device) for _ in range(4)
            )
        self._asked: dict[str, tuple[Tensor, Tensor]] = {}
        self._clean: Tensor | None = None
        self._stand_ins: Tensor | None = None
        self._owners: Int64[Tensor, " r"] | None = None
        self.lost: Bool[Tensor, " m"] | None = None
        """Of the last pass: whose logits were no answer; None where all were."""

    @contextlib.contextmanager
    def on_behalf_of(self, owners: Int64[Tensor, " r"]) -> Iterator[None]:
        """While it is open, row i of an index stands for the sample `owners[i]`: a search runs
        several times on each sample at once.

        >>> ledger = Ledger(2, torch.device("cpu"))
        >>> with ledger.on_behalf_of(torch.tensor([0, 1, 1])):
        ...     ledger.spend(ledger.forwards, torch.tensor([1, 2]), 1)
        >>> ledger.forwards
        tensor([0, 2])
        """
        before = self._owners
        self._owners = owners if before is None else before[owners]
        try:
            yield
        finally:
            self._owners = before

    def _samples(self, index: Int64[Tensor, " m"]) -> Int64[Tensor, " m"]:
        return index if self._owners is None else self._owners[index]

    def forwards_of(self, index: Int64[Tensor, " m"]) -> Int64[Tensor, " m"]:
        """Return how many forward passes the samples of these rows have had.

        >>> ledger = Ledger(2, torch.device("cpu"))
        >>> ledger.spend(ledger.forwards, torch.tensor([1]), 3)
        >>> ledger.forwards_of(torch.tensor([1, 0]))
        tensor([3, 0])
        """
        return self.forwards[self._samples(index)]

    def spend(self, counter: Tensor, index: Tensor | None, passes: int | Tensor) -> None:
        """Add a number of passes, one number or one per row of `index`, to a counter."""
        if index is None:
            counter += passes
        else:
            each = passes if isinstance(passes, Tensor) else torch.full_like(index, passes)
            counter.index_add_(0, self._samples(index), each)

    def share(self, index: Tensor, forwards: int, backwards: int) -> None:
        """Book passes on samples evenly, where nobody knows whose they were; the first ones carry
        the rest.

        >>> ledger = Ledger(2, torch.device("cpu"))
        >>> ledger.share(torch.arange(2), 3, 0)
        >>> ledger.forwards
        tensor([2, 1])
        >>> with ledger.on_behalf_of(torch.tensor([1, 1])):
        ...     ledger.share(torch.arange(2), 4, 0)
        >>> ledger.forwards
        tensor([2, 5])
        """
        index = self._samples(index)
        for counter, passes in ((self.forwards, forwards), (self.backwards, backwards)):
            each, rest = divmod(passes, len(index))
            shares = torch.full_like(index, each)
            shares[:rest] += 1
            counter.index_add_(0, index, shares)

    def entries(self) -> dict[str, Tensor]:
        """Return copies of all that was entered, for `enter`.

        >>> ledger = Ledger(1, torch.device("cpu"))
        >>> _ = ledger.mended(torch.zeros(1, 2), None, "loss")
        >>> ledger.entries()["asked loss"]
        tensor([[1],
                [0]])
        """
        asked = {f"asked {name}": torch.stack(each) for name, each in self._asked.items()}
        return {**{name: getattr(self, name).clone() for name in _COUNTS}, **asked}

    def enter(self, entries: Mapping[str, Tensor]) -> None:
        """Make the entries those that another ledger of the same samples had.

        >>> ledger, other = (Ledger(1, torch.device("cpu")) for _ in range(2))
        >>> _ = other.mended(torch.zeros(1, 2), None, "loss")
        >>> ledger.enter(other.entries())
        >>> ledger.unguided
        tensor([True])
        """
        for name in _COUNTS:
            getattr(self, name).copy_(entries[name])
        self._asked = {}
        for name, both in entries.items():
            kind, _, objective = name.partition(" ")
            if kind == "asked":
                blind, steered = both.to(self.forwards)
                self._asked[objective] = (blind.clone(), steered.clone())

    @property
    def broken(self) -> Bool[Tensor, " n"]:
        """Samples with a gradient entry that was NaN or infinite."""
        return self._broken > 0

    @property
    def unsound(self) -> Bool[Tensor, " n"]:
        """Samples with logits that were NaN, or infinite where those of the clean image are not."""
        return self._unsound > 0

    @property
    def unguided(self) -> Bool[Tensor, " n"]:
        """Samples for which the gradient of some objective was exactly 0 whenever it was asked."""
        found = torch.zeros_like(self._broken, dtype=torch.bool)
        for blind, steered in self._asked.values():
            found |= (blind > 0) & (steered == 0)
        return found

    def mended(
        self, gradient: Float[Tensor, "m ..."], index: Tensor | None, objective: str
    ) -> Float[Tensor, "m ..."]:
        """Return the gradient with 0 for NaN, having noted whose was broken, and whose all zero."""
        largest = gradient.flatten(1).abs().amax(1)  # ten times as fast as a norm of order inf
        if objective not in self._asked:
            self._asked[objective] = (
                torch.zeros_like(self.forwards),
                torch.zeros_like(self.forwards),
            )
        blind, steered = self._asked[objective]
        # On a CPU it is cheapest to look whether anything is the matter, on CUDA not to wait.
        if not gradient.is_cuda and len(largest):
            least, most = largest.aminmax()
            if float(least) > 0 and float(most) < torch.inf:
                if index is None:
                    steered += 1
                else:
                    steered.index_fill_(0, self._samples(index), 1)
                return gradient
        self.spend(blind, index, (largest == 0).long())
        self.spend(steered, index, (largest != 0).long())
        self.spend(self._broken, index, (~largest.isfinite()).long())
        # One NaN would spoil the sample for good, and it would then pass for robust.
        return gradient.nan_to_num()

    def expect(
        self,
        clean: Float[Tensor, "m k"],
        index: Tensor | None = None,
        stand_ins: Float[Tensor, "m k"] | None = None,
    ) -> None:
        """Take note of the logits of the clean images, and of what `sound` puts in the place of an
        answer that is none; None is the clean logits themselves.

        >>> ledger, nan = Ledger(1, torch.device("cpu")), torch.tensor([[float("nan"), 0.0]])
        >>> ledger.expect(torch.tensor([[2.0, 1.0]]), stand_ins=torch.tensor([[0.0, 1.0]]))
        >>> ledger.sound(nan, None, torch.zeros(1, 4)), ledger.sound(nan, None, torch.zeros(1, 4) / 0)
        (tensor([[0., 1.]]), tensor([[2., 1.]]))
        """
        instead = clean if stand_ins is None else stand_ins
        if index is None:
            self._clean, self._stand_ins = clean, instead
            return
        rows = self._samples(index)
        whole = clean.new_zeros(len(self.forwards), clean.shape[1])
        self._clean = whole.index_copy(0, rows, clean)
        self._stand_ins = whole.index_copy(0, rows, instead)

    def sound(
        self, logits: Float[Tensor, "m k"], index: Tensor | None, images: Float[Tensor, "m ..."]
    ) -> Float[Tensor, "m k"]:
        """Return the logits with the expected stand-ins where they are no answer; see `unanswered`.

        For images that are not finite themselves, an attack's fault, they are those of the clean
        image: such an image fools nobody, and a loop that went on from it would be lost.

        What is no answer is noted, unless the clean image has none either; and so is −inf at some
        classes, unless the clean image has it there too, as masked classes have.
        """
        self.lost = None
        if self._clean is None or self._stand_ins is None:
            return logits
        # A finite sum has finite terms; on CUDA it is cheaper to look at each than to wait.
        if not logits.is_cuda and math.isfinite(float(logits.detach().sum())):
            return logits
        rows = slice(None) if index is None else self._samples(index)
        clean, instead = self._clean[rows], self._stand_ins[rows]
        self.lost = unanswered(logits)
        noted = self.lost | ((logits == -torch.inf) & (clean != -torch.inf)).any(1)
        self.spend(self._unsound, index, (noted & ~unanswered(clean)).long())
        whole = images.isfinite().flatten(1).all(1, keepdim=True)
        instead = torch.where(whole, instead, clean).to(logits.dtype)
        return torch.where(self.lost[:, None], instead, logits)


def name_of(objective: Any) -> str:
    """Return what stays the same of an objective from step to step, and from one process to the
    next: where the code that it runs stands.

    >>> def loss(scale):
    ...     return lambda logits: scale * logits[:, 0]
    >>> name_of(loss(1)) == name_of(loss(2)), name_of(loss) == name_of(loss(1))
    (True, False)
    >>> len({name_of(each) for each in (lambda z: z[:, 0], lambda z: z[:, 1])})
    2
    """
    function = getattr(objective, "func", objective)  # of a partial
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__module__}.{type(function).__qualname__}"
    return f"{function.__module__}.{_place_of(code)}"


@cache
def _place_of(code: CodeType) -> str:
    """Return the name of a function's code and where it ends, by line and column: two may begin in
    one line.
    """
    ends = ((line, column) for _, line, _, column in code.co_positions() if line and column)
    line, column = max(ends, default=(code.co_firstlineno, 0))
    return f"{code.co_qualname}, {line}:{column}"
