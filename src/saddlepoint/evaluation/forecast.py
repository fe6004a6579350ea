"""How far an evaluation is, and how long the rest takes, from what was seen of it so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from saddlepoint.progress import EVERY, Progress, Tick, watched_by


@dataclass
class Stage:
    """An attack at one budget: what is known of it, and what was seen.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> Stage("pgd", "Linf 0.1", PGD(Linf(0.1), steps=40).expected_steps).kept
    1.0
    """

    attack: str
    threat: str
    steps: int
    """Passes over a batch, 0 where nobody knows: expected at first, then those of the last batch."""
    level: int = 0
    """The number of the budget."""
    entered: int = 0
    fooled: int = 0
    images: int = 0
    seconds: float = 0.0
    """What the `images` took that were attacked in this process."""

    def took(self, images: int, steps: int, seconds: float) -> None:
        """Take note of a batch."""
        self.images, self.steps, self.seconds = self.images + images, steps, self.seconds + seconds

    def ended(self, entered: int, fooled: int) -> None:
        """Take note of what became of the images."""
        self.entered, self.fooled = self.entered + entered, self.fooled + fooled

    @property
    def kept(self) -> float:
        """The share of the images that it leaves standing; 1 before anything is known."""
        return 1 - self.fooled / self.entered if self.entered else 1.0

    @property
    def name(self) -> str:
        """The budget and the attack."""
        return f"{self.threat}, {self.attack}"


class Forecast:
    """Hears of every pass of an evaluation, and tells how far it is.

    Args:
        progress: is told; None is nobody, and then nothing is watched.
        stages: in the order in which they are run.
        images: in all.

    >>> stage = Stage("pgd", "Linf 0.1", 40)
    >>> forecast = Forecast(lambda tick: print(tick.done, tick.total, tick.ended), [stage], 100)
    >>> forecast.begin(stage, standing=90)
    >>> forecast.end(fooled=15, forwards=4000, backwards=3900)
    90 90 Linf 0.1, pgd: 15 of 90 fooled; robust accuracy 75.00 %; 4,000 + 3,900 passes
    """

    def __init__(self, progress: Progress | None, stages: Sequence[Stage], images: int) -> None:
        self.progress: Progress = progress or (lambda tick: None)
        self._watches = progress is not None
        self._stages, self._later = stages, 0
        self._seen = images  # of the groups so far
        self._stood = [0] * len(stages)  # of the groups so far, when the stage ended
        self._grouped = False
        self._at = 0  # the number of the stage
        self._standing = self._done = 0  # when the stage began; of them done
        self._batch = self._rows = self._step = 0  # images, those of the last pass, passes
        self._row_passes = 0
        self._robust: float | None = None
        self._passes = [0, 0]
        self._began = time.monotonic()
        self._batch_began = self._told = 0.0

    def of_group(self, images: int, later: int) -> None:
        """All stages begin on a group of the images, after which so many follow."""
        self._seen = images + (self._seen if self._grouped else 0)
        self._grouped, self._later = True, later

    def begin(self, stage: Stage, *, standing: int, done: int = 0) -> None:
        """A stage begins on the `standing` images, of which some may be done already."""
        self._at = next(i for i, each in enumerate(self._stages) if each is stage)
        self._standing, self._done = standing, done

    @contextlib.contextmanager
    def batch(self, count: int) -> Iterator[None]:
        """Watch the attack on a batch of the stage."""
        if not self._watches:
            yield
            return
        self._batch = self._rows = count
        self._step = self._row_passes = 0
        self._batch_began = time.monotonic()
        with watched_by(self):
            yield
        stage = self._stages[self._at]
        stage.took(count, self._step, time.monotonic() - self._batch_began)
        self._done += count
        self._tell(time.monotonic())
        self._batch = 0

    def passed(self, rows: int) -> None:
        """Take note of a pass within the batch, and tell of it now and then."""
        if rows:
            self._step, self._rows = self._step + 1, rows
            self._row_passes += rows
        now = time.monotonic()
        if now - self._told >= EVERY:
            self._tell(now)

    def end(self, *, fooled: int, forwards: int, backwards: int, wrong: int = 0) -> None:
        """The stage has ended: tell what it added.

        Args:
            fooled: images, besides those that were `wrong` before any attack.
            forwards, backwards: passes that it took.
        """
        stage = self._stages[self._at]
        standing = self._standing - wrong
        stage.ended(standing, fooled)
        self._passes[0] += forwards
        self._passes[1] += backwards
        self._stood[self._at] += standing - fooled
        self._robust = self._stood[self._at] / self._seen
        self._done, line = self._standing, ""
        if stage.entered:
            forwards, backwards = self._passes
            line = (
                f"{stage.name}: {stage.fooled:,} of {stage.entered:,} fooled; robust accuracy"
                f" {100 * self._robust:.2f} %; {forwards:,} + {backwards:,} passes"
            )
        self._tell(time.monotonic(), line)

    def _tell(self, now: float, ended: str = "") -> None:
        stage, left, spent = self._stages[self._at], self._left(now), now - self._began
        loop = self._batch > 0 and stage.steps > 0
        self._told = now
        self.progress(
            Tick(
                what=stage.name,
                done=self._done,
                total=self._standing,
                step=self._step if self._batch else 0,
                steps=max(stage.steps, self._step) if loop else 0,
                share=0.0 if left is None else spent / max(spent + left, 1e-9),
                seconds_left=left,
                attack=stage.attack,
                threat=stage.threat,
                robust_accuracy=self._robust,
                forwards=self._passes[0],
                backwards=self._passes[1],
                ended=ended,
            )
        )

    def _left(self, now: float) -> float | None:
        """Return the seconds that the rest takes; None where nothing tells it yet."""
        here, left, row_seconds = self._stages[self._at], 0.0, 0.0
        if self._row_passes:
            row_seconds = (now - self._batch_began) / self._row_passes
        kept = [stage.kept for stage in self._stages]
        if self._batch and self._step:
            left += max(here.steps - self._step, 0) * self._rows * row_seconds
            if not here.entered:  # those that left the loop were fooled
                kept[self._at] = self._rows / self._batch
        waiting = [0.0] * len(kept)  # images that each stage has before it
        waiting[self._at] += max(self._standing - self._done - self._batch, 0)
        standing, later = self._standing * kept[self._at], float(self._later)
        for number in range(len(kept)):
            waiting[number] += later
            later *= kept[number]
            if number > self._at:
                waiting[number] += standing
                standing *= kept[number]
        for stage, images in zip(self._stages, waiting, strict=True):
            seconds = self._image_seconds(stage, row_seconds)
            if images > 0 and seconds is None:
                return None
            left += images * (seconds or 0.0)
        return left

    def _image_seconds(self, stage: Stage, row_seconds: float) -> float | None:
        """Return what an image takes: as seen, at another budget perhaps, or by the steps."""
        known = [each for each in self._stages if each.attack == stage.attack and each.images]
        if known:
            best = stage if stage.images else known[-1]
            return best.seconds / best.images
        return stage.steps * row_seconds if stage.steps and row_seconds else None
