"""Fast: what AutoAttack finds, for a tenth of its passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, FixedBudget
from saddlepoint.attacks.core.forms import has_form
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.attacks.core.stages import each_stage, stage
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.margin_decomposition import MarginDecomposition
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.fab import FAB
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.short_runs import ShortRun, aimed_runs
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Natural
from saddlepoint.threat import Normed

_NEAR, _CLOSE, _CLOSEST = 0.2, 0.1, 0.02  # of the margin of the clean image


@dataclass(frozen=True, kw_only=True)
class Fast(FixedBudget):
    """Many short runs of APGD towards the classes that a probe found near, on what is not fooled yet.

    1. A probe ascends the cross-entropy.
    2. From a fresh start each, runs of `steps` towards the nearest classes: the targeted DLR, `targets`
       of them. Which class is nearest is read off the image of smallest margin so far, so that the
       ranking follows what the runs before found.
    3. Where the smallest margin so far is below a fifth of the clean image's: runs half as long again
       towards the nearest of all, on the plain difference of the two logits, whose gradient is another
       one than the ratio's.
    4. One long run on the cross-entropy, towards no class.
    5. Where the smallest margin is below a tenth: long runs on the ratio once more, one for each of the
       nearest classes, as "standard" makes them for every image. Below a fiftieth such runs again, on
       the difference and on the ratio.
    6. `Square` on the images for which the gradient of some loss was exactly 0 at every step.
    7. Where the pilot says that gradients are not to be trusted, all that "standard" runs.

    It is AutoAttack's idea (Croce and Hein 2020, arXiv:2003.01690), with the target ranking of an
    attack's own end point as in the constraint relaxation attack, and short runs on differences of
    logits as in the minimum-margin attack (Gao et al. 2022). Whether it is enough for a network is
    what "standard" tells.

    Args:
        threat: Linf, L2, L1, or Box.
        probe: steps of the probe.
        targets: classes that the ratio is run towards.
        steps: of each of these runs.
        margins: classes that the plain difference is run towards.
        long: steps of the run on the cross-entropy, and of those on close calls.
        close: classes that these are run towards.
        queries: of Square.
        pilot: what the first images of the evaluation told; None is a model that hides nothing.

    >>> import torch
    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.5, 0.4]]), torch.tensor([0])
    >>> Fast(Linf(0.051))(net, images, labels).success
    tensor([True])
    """

    probe: Count = 10
    targets: Count = 9
    steps: Count = 20
    margins: Natural = 3
    long: Count = 100
    close: Natural = 2
    queries: Natural = 1000
    pilot: Pilot | None = None

    paper = "Croce and Hein 2020, arXiv:2003.01690; Gao et al. 2022, of the short runs"
    cost = "steps × targets + probe + long (290) each way, next to the boundary 980"

    first_look = 1  # the probe

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "last":
            raise InputError('Fast keeps the best of many runs; leave keep="last" out')

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return self.probe + self.targets * self.steps + self.long

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run after run, on the samples that none before has fooled."""
        number = 0
        for below, runs in self._rounds(batch):
            if not runs:
                continue
            some = batch if below is None else _close(batch, tracker, below)
            works = (
                partial(r.climb, tracker=tracker, number=number + i) for i, r in enumerate(runs)
            )
            each_stage(some, tracker, works)
            number += len(runs)
        unguided = batch.guard.ledger.unguided[batch.index]
        blind = tracker.unfinished(batch.at(unguided))
        if len(blind) and self.queries and has_form(Square, self.threat):
            square = Square(self.threat, queries=self.queries)
            stage(blind, tracker, partial(square.perturb, blind, tracker))
        if self.pilot is not None and self.pilot.masked:
            self._search_on(batch, tracker)

    def _search_on(self, batch: Batch, tracker: Tracker) -> None:
        """Run one logit at a time, then AutoAttack's four, in turn on what is left."""
        attacks: list[Attack] = [
            MarginDecomposition(self.threat),
            APGD(self.threat),
            APGD(self.threat, loss="dlr-targeted", targets=9),
        ]
        if isinstance(self.threat, Normed) and has_form(FAB, self.threat):
            attacks.append(AtBudget(FAB(self.threat.with_eps(math.inf), targets=9), self.threat))
        if has_form(Square, self.threat):
            attacks.append(Square(self.threat))
        each_stage(batch, tracker, (partial(each.perturb, tracker=tracker) for each in attacks))

    def _rounds(self, batch: Batch) -> list[tuple[float | None, list[ShortRun]]]:
        """Return the runs, and the share of the clean margin below which they are worth their passes."""
        ratio = aimed_runs(batch, (self.targets, self.steps), (0, 1))
        difference = aimed_runs(batch, (0, 1), (self.margins, 3 * self.steps // 2))
        long = self.close, self.long
        return [
            (None, [ShortRun.probe(self.probe), *ratio]),
            (_NEAR, difference),
            (None, [ShortRun.probe(self.long)]),
            (_CLOSE, aimed_runs(batch, long, (0, 1))),
            (_CLOSEST, aimed_runs(batch, (0, 1), long)),
            (_CLOSEST, aimed_runs(batch, long, (0, 1))),
        ]


def _close(batch: Batch, tracker: Tracker, share: float) -> Batch:
    """Return the unfooled samples whose kept margin is below a share of the clean one: in what is left,
    what more runs would still fool is there.
    """
    left = tracker.unfinished(batch)
    if not len(left):
        return left
    kept = left.threat.parametrise(tracker.images[left.index])
    margin, clean = (left.margin(left.logits(x)) for x in (kept, left.clean))
    return left.at((margin <= share * clean).nonzero().squeeze(1))
