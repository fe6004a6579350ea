"""A second look: the suite `standard` on a few of the images that survived a cheaper evaluation, and
how much it can have missed of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack, Criterion, Misclassified, Stages
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.checks import check_labels, in_range, tensor_of
from saddlepoint.counts import check_count, check_seed
from saddlepoint.data import DataLike, as_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.randomness import passes_for
from saddlepoint.evaluation.statistics import at_most
from saddlepoint.evaluation.steps import Steps, Work
from saddlepoint.evaluation.suites import build_suite
from saddlepoint.model import connected
from saddlepoint.streams import Keys, derive
from saddlepoint.tables import Shown, Table
from saddlepoint.threat import ThreatModel

SUITE = "standard"
STANDS = -1
_FEW = 0.05  # what one hopes to bound the share by
_BATCH = 128


@dataclass(frozen=True, eq=False, repr=False)
class SecondLook(Shown):
    """What `standard` made of some survivors of an evaluation.

    Attributes:
        threat: in whose budget.
        images, survivors: of the evaluation.
        attacks: of the suite, in their order.
        ids: (m,) the survivors that were looked at.
        fallen_to: (m,) the number of the attack that fooled each; −1 where it stands.
        forwards, backwards: (m,) the passes that it took.
        notes: what is to be said of the model.

    >>> ids, none = torch.arange(59), torch.full((59,), -1)
    >>> SecondLook("Linf 8/255", 1000, 400, ("apgd",), ids, none, ids * 0 + 100, ids * 0 + 50)
    standard fools 0 of 59 survivors at Linf 8/255
    looked at  fell  share of survivors, at most  robust accuracy  by standard, at least
    ------------------------------------------------------------------------------------
    59 of 400     0                       4.95 %           40.0 %                 38.0 %
    note: with 95 % confidence standard on all images would lower the robust accuracy by 2.0 points at most
    note: 100.0 forward and 50.0 backward passes for each image looked at
    """

    threat: str
    images: int
    survivors: int
    attacks: tuple[str, ...]
    ids: Int64[Tensor, " m"]
    fallen_to: Int64[Tensor, " m"]
    forwards: Int64[Tensor, " m"]
    backwards: Int64[Tensor, " m"]
    notes: tuple[str, ...] = ()

    @property
    def fell(self) -> int:
        """How many of those looked at were fooled."""
        return int((self.fallen_to != STANDS).sum())

    @property
    def bound(self) -> float:
        """The share of the survivors that standard fools is at most this, with 95 % confidence; of
        survivors that were all looked at it is known.
        """
        count = len(self.ids)
        return self.fell / count if count == self.survivors else at_most(self.fell, count)

    @property
    def points(self) -> float:
        """By how many points of robust accuracy standard lowers it at most, so bounded."""
        return 100 * self.bound * self.survivors / self.images

    @property
    def fooled_by(self) -> dict[str, int]:
        """How many fell to each attack that fooled any."""
        counts = Counter(self.fallen_to.tolist())
        return {name: counts[i] for i, name in enumerate(self.attacks) if counts[i]}

    def tables(self) -> Sequence[Table]:
        """Return the counts, the bound, and what it means for the robust accuracy."""
        count, before = len(self.ids), 100 * self.survivors / self.images
        columns = (
            "looked at",
            "fell",
            "share of survivors, at most",
            "robust accuracy",
            f"by {SUITE}, at least",
        )
        row = (
            f"{count:,} of {self.survivors:,}",
            f"{self.fell:,}",
            f"{100 * self.bound:.2f} %",
            f"{before:.1f} %",
            f"{before - self.points:.1f} %",
        )
        title = f"{SUITE} fools {self.fell:,} of {count:,} survivors at {self.threat}"
        return [Table(title, columns, [row], tuple(self._notes()))]

    def _notes(self) -> Sequence[str]:
        count, notes = len(self.ids), []
        if count == self.survivors:
            notes.append(
                f"all survivors were looked at: {SUITE} lowers the robust accuracy by"
                f" {self.points:.1f} points"
            )
        else:
            notes.append(
                f"with 95 % confidence {SUITE} on all images would lower the robust accuracy by"
                f" {self.points:.1f} points at most"
            )
            if not self.fell and count < (enough := _enough()):
                images = "one image bounds" if count == 1 else f"{count} images bound"
                notes.append(
                    f"{images} little: {enough} without a fall bound the share by"
                    f" {100 * _FEW:.0f} %"
                )
        if self.fell:
            told = ", ".join(f"{name} {count}" for name, count in self.fooled_by.items())
            notes.append(f"the robust accuracy is too high: fooled by {told}; evaluate by {SUITE}")
        passes = (float(each.double().mean()) for each in (self.forwards, self.backwards))
        forwards, backwards = passes
        notes.append(
            f"{forwards:,.1f} forward and {backwards:,.1f} backward passes for each image looked at"
        )
        return [*notes, *self.notes]

    def json(self) -> dict[str, Any]:
        """Return the numbers for a record.

        >>> one = torch.tensor([3])
        >>> SecondLook("L2 1", 10, 5, ("apgd",), one, one * 0, one, one).json()["fooled_by"]
        {'apgd': 1}
        """
        return {
            "suite": SUITE,
            "threat": self.threat,
            "images": self.images,
            "survivors": self.survivors,
            "ids": self.ids.tolist(),
            "fell": self.fell,
            "fooled_by": self.fooled_by,
            "share_at_most": self.bound,
            "points_at_most": self.points,
            "forwards_per_image": float(self.forwards.double().mean()),
            "backwards_per_image": float(self.backwards.double().mean()),
            "notes": list(self.notes),
        }


def second_look(
    model: nn.Module,
    data: DataLike,
    survivors: Int64[Tensor, " s"],
    threat: ThreatModel,
    count: int,
    *,
    seed: int = 0,
    steps: Steps | None = None,
    criterion: Criterion | None = None,
) -> SecondLook:
    """Return what the suite `standard` makes of `count` survivors of an evaluation.

    Which ones is a function of the seed and the survivors' ids; a larger count looks at the same
    and at more. The attacks have draws of their own, so that it is no repetition where the
    evaluation was of `standard` too.

    Args:
        model, data, threat: of the evaluation, at the budget that was survived.
        survivors: (s,) ids of the images that stood there.
        count: of those that are looked at.
        seed: of the choice and of the attacks.
        steps: of the run that keeps what is done; None keeps nothing.
        criterion: what counts as fooled; None is `Misclassified`.

    Raises `InputError` where there are fewer survivors, and for ids that are none of the data.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.threat import Linf
    >>> data, net = load_data("digits", limit=20), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> second_look(net, data, torch.arange(4), Linf(0.1), 5)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: 5 survivors are to be looked at and 4 survived; give 4 at most
    """
    source, ids = as_data(data), tensor_of(survivors, "survivors").cpu()
    check_count("count", count)
    check_seed(seed)
    _check_survivors(ids, len(source), count)
    passes = passes_for(model, source, None)
    fooled = Misclassified() if criterion is None else criterion
    suite = build_suite(SUITE, threat)
    chosen = _chosen(ids, count, seed)
    done = Steps(None, _BATCH) if steps is None else steps

    def work(attack: Attack) -> Work:
        def attacked(batch: Tensor, stages: Stages | None) -> Columns:
            result = attack(
                model,
                in_range(source.images(batch), *pixel_range(threat)),
                source.labels[batch],
                seed=derive(seed, "second look"),
                ids=batch,
                random=passes.random,
                stages=stages,
                whole=False,
            )
            names = ("success", "initially_wrong", "forwards", "backwards")
            return {name: getattr(result, name) for name in names}

        return attacked

    fallen_to = torch.full_like(chosen, STANDS)
    forwards, backwards = torch.zeros_like(chosen), torch.zeros_like(chosen)
    wrong = 0
    with done, connected(model):
        for number, (name, attack) in enumerate(suite.items()):
            standing = fallen_to == STANDS
            prepared = work(passes.prepared(attack, fooled))
            found = done.run(f"second look, {threat}, {name}", chosen[standing], prepared)
            if not found:
                break
            rows = torch.searchsorted(chosen, found["id"])
            fallen_to[rows[found["success"]]] = number
            forwards[rows] += found["forwards"]
            backwards[rows] += found["backwards"]
            wrong += int(found["initially_wrong"].sum())
    notes = (f"{wrong:,} of those that fell were wrong without any attack",) if wrong else ()
    return SecondLook(
        threat=str(threat),
        images=len(source),
        survivors=len(ids),
        attacks=tuple(suite),
        ids=chosen,
        fallen_to=fallen_to,
        forwards=forwards,
        backwards=backwards,
        notes=(*passes.notes, *notes),
    )


def _check_survivors(ids: Tensor, images: int, count: int) -> None:
    check_labels(ids, len(ids), "survivors")
    if count > len(ids):
        raise InputError(
            f"{count} survivors are to be looked at and {len(ids)} survived; give {len(ids)} at most"
        )
    if len(set(ids.tolist())) < len(ids):
        raise InputError("some survivors come twice; give each id once")
    if int(ids.min()) < 0 or int(ids.max()) >= images:
        raise InputError(
            f"survivors span {int(ids.min())} … {int(ids.max())}, the data has {images} images"
        )


def _chosen(ids: Tensor, count: int, seed: int) -> Int64[Tensor, " m"]:
    """Return the ids with the smallest of the random numbers that each has, ascending."""
    ordered = ids.long().sort().values
    numbers = Keys(derive(seed, "second look, choice"), ordered).uniform((1,))[:, 0]
    return ordered[numbers.argsort(stable=True)[:count]].sort().values


def _enough() -> int:
    """Return how many images, none of which falls, bound the share by `_FEW`."""
    count = 1
    while at_most(0, count) > _FEW:
        count += 1
    return count
