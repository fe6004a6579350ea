"""The order of work: every budget ascending, every attack in turn, and only survivors go on.

So an evaluation that is stopped knows most of what it can know by then. A minimum-norm attack is run
once, on all images that are right, and counted at every budget. Where the time is limited, an attack
that has a first look gives all images that before it gives any the rest.

What an attack found is taken in when it has had its turn on all images, whatever the time: so the
images that stand, and the worst of each, are always of the same turns.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from saddlepoint.attacks import Attack, Criterion, Stages
from saddlepoint.data import ImageData
from saddlepoint.evaluation.asked import Asked
from saddlepoint.evaluation.clean_images import CleanImages
from saddlepoint.evaluation.forecast import Forecast
from saddlepoint.evaluation.groups import groups_of
from saddlepoint.evaluation.journal import Columns, Journal
from saddlepoint.evaluation.left import Left, summed
from saddlepoint.evaluation.once import of_once, runs_once
from saddlepoint.evaluation.part import TOLD, Part
from saddlepoint.evaluation.pictures import Pictures
from saddlepoint.evaluation.randomness import Passes
from saddlepoint.evaluation.steps import Steps, Work
from saddlepoint.evaluation.suites import Suite
from saddlepoint.evaluation.turns import Turn, budget_of, turns_of
from saddlepoint.evaluation.warm_start import WarmStart
from saddlepoint.evaluation.worst import WorstFiles
from saddlepoint.progress import Progress, TimeUp, until
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True, eq=False)
class Survivors:
    """An evaluation at work on all of the data.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import build_suite
    >>> from saddlepoint.evaluation.steps import Steps
    >>> from saddlepoint.threat import Linf
    >>> data, threat = load_data("digits", limit=4), Linf(0.1)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> suite, steps = build_suite("quick", threat), Steps(None, batch_size=4)
    >>> passes, fooled = Passes(1, False), Misclassified()
    >>> run = Survivors(net, data, [threat], suite, 0, passes, fooled, steps)
    >>> run.attacked(run.parts())
    ()
    >>> run.columns()["images/id"]
    tensor([0, 1, 2, 3])
    """

    model: nn.Module
    data: ImageData
    threats: Sequence[ThreatModel]
    attacks: Suite
    seed: int
    passes: Passes
    criterion: Criterion
    steps: Steps
    progress: Progress | None = None
    starts: Journal | None = None
    """Where what survives at the largest budget is kept; see extension.py."""
    worst: WorstFiles | None = None
    """Where the worst image of each is kept."""
    warm_start: WarmStart | None = None
    looks: bool = False
    """Whether attacks that have a first look take it."""
    seen: list[Columns] = field(default_factory=list)
    held: dict[tuple[int, ...], Tensor] = field(default_factory=dict)
    done: list[Part] = field(default_factory=list)
    """The parts that are at work."""

    @functools.cached_property
    def _turns(self) -> tuple[Turn, ...]:
        looks = self.looks and len(self.data) > self.steps.size
        return turns_of(self.attacks, self.threats, looks=looks)

    @functools.cached_property
    def _carrier(self) -> str | None:
        """The last attack within a budget: what survives it starts from there at the next budget."""
        within = [name for name, attack in self.attacks.items() if not runs_once(attack)]
        return within[-1] if within else None

    @functools.cached_property
    def _forecast(self) -> Forecast:
        first = min((turn.level for turn in self._turns), default=0)
        counted = [turn for turn in self._turns if turn.level == first or not turn.once]
        stages = [each for turn in counted for each in (turn.look, turn.stage) if each is not None]
        return Forecast(self.progress, stages, len(self.data))

    @functools.cached_property
    def _asked(self) -> Asked:
        return Asked(self.model, self.criterion, self.passes.samples, self.seed)

    @functools.cached_property
    def _shown(self) -> CleanImages:
        shared = self.seen, self.held
        return CleanImages(self.data, self.threats[0], self._asked, self.steps, *shared)

    def images(self, ids: Tensor) -> Tensor:
        """Return these images, within the range of the threat model."""
        return self._shown.images(ids)

    def clean(self, ids: Tensor) -> Columns:
        """Return what the model says of the clean images `ids`; see `CleanImages`."""
        return self._shown.clean(ids)

    def parts(self) -> tuple[Tensor, ...]:
        """Return the ids of each part."""
        return self.steps.parts(torch.arange(len(self.data)))

    def attacked(self, parts: Sequence[Tensor]) -> tuple[Left, ...]:
        """Attack the images of these parts at every budget; return what is left to do where the time
        was up before, else nothing.

        Args:
            parts: (m,) ids each, ascending.
        """
        left: list[Left] = []
        for group, later in groups_of(parts, self.data.shape):
            self._forecast.of_group(sum(map(len, group)), later)
            left += self._attacked(group)
        return summed(left)

    def untouched(self, parts: Sequence[Tensor]) -> tuple[Left, ...]:
        """Take in what is known of images that are not attacked now; return what is left to do."""
        left: list[Left] = []
        for ids in parts:
            begun = [self._begin(ids)]
            left += self._left(self._turns, begun)
            self._end(begun)
        return summed(left)

    def _attacked(self, parts: Sequence[Tensor]) -> tuple[Left, ...]:
        begun = [self._begin(ids) for ids in parts]
        turns = iter(self._turns)
        left: tuple[Left, ...] = ()
        for turn in turns:
            for part in begun:
                self._close(part, turn.level)
            try:
                self._turn(turn, begun)
            except TimeUp:
                left = tuple(self._left([turn, *turns], begun))
        self._end(begun)
        return left

    def _end(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self._close(part, len(self.threats))
            self._keep(part)
            part.release()
        self.done.extend(parts)

    def columns(self) -> Columns:
        """Return all rows of the images that were worked on."""
        found = [part.columns() for part in self.done]
        spent = torch.cat([part.seconds() for part in self.done]).sum(0, keepdim=True)
        whole = {name: torch.cat([each[name] for each in found]) for name in found[0]}
        return {**whole, "seconds": spent}

    def _begin(self, ids: Tensor) -> Part:
        images = self._shown.reader(ids)
        part = Part(ids, self.data.labels[ids].cpu(), self.clean(ids), images)
        if self.warm_start is not None:
            part.starts = self.warm_start.starts(ids, images().cpu())
        if self.worst is not None and len(part.right):
            part.pictures = Pictures(
                images().cpu(), functools.partial(self._asked.margin, self.steps.size, part)
            )
        return part

    def _carries(self, turn: Turn) -> bool:
        """Return whether survivors start from what this turn leaves."""
        followed = turn.level + 1 < len(self.threats) or self.starts is not None
        return turn.stage.attack == self._carrier and followed

    def _needs(self, turn: Turn) -> str:
        return "found" if self._carries(turn) or self.worst is not None else "id"

    def _turn(self, turn: Turn, parts: Sequence[Part]) -> None:
        """Let an attack have its turn on all parts."""
        needs = self._needs(turn)
        if turn.once and parts and all(part.was_run(turn.number) for part in parts):
            self._take(turn, parts, [{} for _ in parts])
            return
        there = [part.right if turn.once else part.ids[part.standing] for part in parts]
        standing = sum(int(part.standing.sum()) for part in parts)
        if turn.look is not None:
            self._forecast.begin(turn.look, standing=standing)
            looked = [
                self.steps.run(turn.look_step, ids, work, needs=needs, look_of=turn.step)
                for part, ids in zip(parts, there, strict=True)
                for work in [self._work(part, turn.attack, needs, turn.attack.first_look)]
            ]
            fooled = sum(int(each["success"].sum()) for each in looked if each)
            self._forecast.end(fooled=fooled, forwards=0, backwards=0)
        missing = sum(self.steps.missing(turn.step, ids, needs) for ids in there)
        self._forecast.begin(turn.stage, standing=standing, done=sum(map(len, there)) - missing)
        found = [
            self.steps.run(turn.step, ids, self._work(part, turn.attack, needs), needs=needs)
            for part, ids in zip(parts, there, strict=True)
        ]
        fooled = self._take(turn, parts, found)
        if self._carries(turn):
            for part, each in zip(parts, found, strict=True):
                part.keep_starts(each)
        forwards, backwards = (
            sum(int(each[name].sum()) for each in found if each)
            for name in ("forwards", "backwards")
        )
        self._forecast.end(fooled=fooled, forwards=forwards, backwards=backwards)
        self.steps.release()

    def _take(self, turn: Turn, parts: Sequence[Part], found: Sequence[Columns]) -> int:
        """Take in what an attack found; return how many it is the first to fool."""
        threat, fooled = self.threats[turn.level], 0
        with until(None):  # the passes that tell which image is worse
            for part, each in zip(parts, found, strict=True):
                again = part.again(threat, turn.number) if turn.once else None
                more = (
                    part.take(each, threat, turn.number, once=turn.once) if again is None else again
                )
                fooled += more
        return fooled

    def _work(self, part: Part, attack: Attack, needs: str, most: int | None = None) -> Work:
        """Return what attacks a batch of a part; with `most`, only so many of its stages."""

        def attacked(batch: Tensor, stages: Stages | None) -> Columns:
            rows = part.rows(batch)
            with self._forecast.batch(len(batch)):
                result = attack(
                    self.model,
                    part.images()[rows],
                    part.labels[rows],
                    seed=self.seed,
                    ids=batch,
                    starts=None if part.starts is None else part.starts[rows],
                    random=self.passes.random,
                    stages=stages if most is None or stages is None else stages.of_first(most),
                    whole=False,
                )
            found = {key: getattr(result, key) for key in TOLD}
            return {**found, "found": result.adversarials} if needs == "found" else found

        return attacked

    def _close(self, part: Part, level: int) -> None:
        """Close the budgets below that number, and keep the worst images."""
        while part.levels < level:
            if self.worst is not None and part.pictures is not None:
                self.worst.add(part, budget_of(self.threats[part.levels]))
            part.close()

    def _keep(self, part: Part) -> None:
        if self.worst is not None:
            self.worst.save()
        if self.starts is None:
            return
        kept = torch.zeros(0) if part.starts is None else part.starts[part.standing]
        some = part.ids[part.standing]
        some = some if self._carrier is None else some[: len(kept)]
        self.starts.add(str(int(part.ids[0])), {"id": some, "found": kept})
        for number, found in part.found_once() if self.worst is not None else ():
            images = {name: found[name] for name in ("id", "found")}
            self.starts.add(of_once([*self.attacks][number]), images)
        self.starts.save()

    def _left(self, turns: Sequence[Turn], parts: Sequence[Part]) -> Iterator[Left]:
        """Take in what is known of these turns, which were cut short; yield what is left of them."""
        for turn in turns:
            waiting = 0
            for part in parts:
                self._close(part, turn.level)
                if turn.once and part.was_run(turn.number):
                    self._take(turn, [part], [{}])
                    continue
                there, needs = part.ids[part.standing], self._needs(turn)
                there = part.right if turn.once else there
                found = self.steps.known(turn.step, there, needs)
                self._take(turn, [part], [found])
                rest = there[~torch.isin(there, found["id"])] if found else there
                if not turn.once:
                    self._take(turn, [part], [self.steps.known(turn.look_step, rest, needs)])
                    rest = rest[part.standing[part.rows(rest)]]
                waiting += len(rest)
            if waiting:
                yield Left(budget_of(self.threats[turn.level]), turn.stage.attack, waiting)
