"""All that passes inside a guard change, so that they need not be made again to go on from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.model.guard import Guard


def tally_of(guard: Guard) -> dict[str, Tensor]:
    """Return what the passes so far have changed: the ledger, places in the random streams, and the
    buffers of a random model.

    >>> with Guard(torch.nn.Flatten(), 2) as guard:
    ...     _ = guard.logits(torch.zeros(2, 4))
    ...     tally_of(guard)["ledger forwards"]
    tensor([1, 1])
    """
    # The buffers of any other model are put back before the next pass.
    buffers = guard._buffers.written() if guard.random and guard._buffers is not None else {}
    return {  # by names that earlier versions' unfinished folders hold too
        "passes": torch.tensor(sorted(guard._passes.items()), dtype=torch.int64).reshape(-1, 2),
        "computed": torch.empty(0, dtype=guard.logits_dtype),
        "reentrant": torch.tensor(guard._reentrant),
        "drifting": torch.tensor(list(guard.changed_buffer.encode()), dtype=torch.uint8),
        **{f"ledger {name}": value for name, value in guard.ledger.entries().items()},
        **{f"generator {number}": state for number, state in guard._generators.states().items()},
        **{f"buffer {name}": value for name, value in buffers.items()},
    }


def go_on_from(guard: Guard, tally: Mapping[str, Tensor]) -> None:
    """Make the guard go on as if the passes before `tally` was taken had just been made.

    >>> with Guard(torch.nn.Flatten(), 2) as guard:
    ...     _ = guard.logits(torch.zeros(2, 4))
    ...     tally = tally_of(guard)
    >>> with Guard(torch.nn.Flatten(), 2) as guard:
    ...     go_on_from(guard, tally)
    ...     guard.forwards
    tensor([1, 1])
    """
    guard._passes = Counter({int(stream): int(count) for stream, count in tally["passes"]})
    guard.logits_dtype, guard._reentrant = tally["computed"].dtype, bool(tally["reentrant"])
    guard.changed_buffer = bytes(tally["drifting"].tolist()).decode()
    guard.ledger.enter(_of("ledger", tally))
    guard._generators.go_on_from(_of("generator", tally))
    if guard._buffers is not None:
        guard._buffers.write(_of("buffer", tally))


def _of(kind: str, tally: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of a kind, by what follows it in their names."""
    split = ((name.partition(" "), value) for name, value in tally.items())
    return {name: value for (first, _, name), value in split if first == kind}
