"""All that passes inside a guard change, so that they need not be made again to go on from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from saddlepoint.model.guard import Guard

_COUNTS = ("forwards", "backwards", "broken", "guided")


def tally_of(guard: Guard) -> dict[str, Tensor]:
    """Return what the passes so far have changed: counts, flags, places in the random streams.

    >>> with Guard(torch.nn.Flatten(), 2) as guard:
    ...     _ = guard.logits(torch.zeros(2, 4))
    ...     tally_of(guard)["forwards"]
    tensor([1, 1])
    """
    drawn = {"cpu": torch.get_rng_state()}
    if guard.device.type == "cuda":
        drawn["cuda"] = torch.cuda.get_rng_state(guard.device)
    passes = torch.tensor(sorted(guard._passes.items()), dtype=torch.int64).reshape(-1, 2)
    return {**{name: getattr(guard, name).clone() for name in _COUNTS}, "passes": passes, **drawn}


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
    for name in _COUNTS:
        getattr(guard, name).copy_(tally[name])
    guard._passes = Counter({int(stream): int(count) for stream, count in tally["passes"]})
    torch.set_rng_state(tally["cpu"])
    if "cuda" in tally:
        torch.cuda.set_rng_state(tally["cuda"], guard.device)
