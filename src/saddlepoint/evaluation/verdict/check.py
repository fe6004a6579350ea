"""What a check is: it measures, sample by sample, and judges what was measured.

Measuring costs passes and may be interrupted; its columns are kept like the steps of the attacks.
Judging costs nothing, so that a record can be judged again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from scipy.stats import binom
from torch import Tensor, nn

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import Criterion
from saddlepoint.attacks.core.inputs import free_features, placed
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.rounding import Reference
from saddlepoint.errors import InputError
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.finding import Finding, Judgement
from saddlepoint.model import Guard, full_precision
from saddlepoint.streams import Keys
from saddlepoint.threat import ThreatModel

HONEST = 0.01
"""The share of its survivors that an honest evaluation may leave to a cheap attack: the null of the
tests. Some always fall, since no attack finds all."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The model under examination with the images that it has right.

    Attributes:
        model: from images to logits.
        images, labels, ids: (m, …) images, their classes, and their identities in the data.
        threat: the budget that the evaluation asks about.
        criterion: what counts as fooled.
        seed: of every draw.
        samples: passes averaged, for a random model.
        random: whether the model is random at inference.
        suite: the attacks of the evaluation.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    >>> subject = Subject(nn.Flatten(), x, y, y, Linf(0.1), Misclassified())
    >>> with subject.guarded() as (batch, logits):
    ...     logits.shape
    torch.Size([2, 4])
    """

    model: nn.Module
    images: Float[Tensor, "m ..."]
    labels: Int64[Tensor, " m"]
    ids: Int64[Tensor, " m"]
    threat: ThreatModel
    criterion: Criterion
    seed: int = 0
    samples: int = 1
    random: bool = False
    suite: Mapping[str, Attack] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @contextmanager
    def guarded(self) -> Iterator[tuple[Batch, Float[Tensor, "m k"]]]:
        """Yield the images as a batch inside a guard, and their logits."""
        guard = Guard(self.model, len(self), samples=self.samples, seed=self.seed)
        with torch.inference_mode(False), guard, full_precision(guard.device):
            guard.set_random(self.random)
            images = self.images.to(guard.device)
            keys = Keys(self.seed, self.ids.to(guard.device))
            logits = guard.logits(images, None, keys)
            guard.ledger.expect(logits)
            batch = Batch(
                guard=guard,
                threat=placed(self.threat, images),
                criterion=self.criterion,
                images=images,
                goals=self.labels.to(guard.device),
                keys=keys,
                index=torch.arange(len(self), device=guard.device),
                mask=free_features(None, self.threat, images),
                reference=Reference.of(logits),
            )
            yield batch, logits

    def attacked(self, attack: Attack) -> AttackResult:
        """Return what an attack finds, judged; its warnings are what the checks tell."""
        ours = replace(attack, criterion=self.criterion, eot_samples=self.samples)
        if self.samples > 1:
            ours = replace(ours, stop="never")
        call = partial(ours, seed=self.seed, ids=self.ids, random=self.random)
        return call(self.model, self.images, self.labels)


class Check(ABC):
    """A question about the robust accuracy of a model.

    Subclasses give the class variables, of which `means` and `remedy` are sentences for a reader
    who sees nothing else.

    >>> issubclass(Probe, Check) and issubclass(Control, Check)
    True
    """

    name: ClassVar[str]
    means: ClassVar[str]
    """What it says of the number where something is found."""
    remedy: ClassVar[str]
    threshold: ClassVar[str]
    reference: ClassVar[str] = ""
    most: ClassVar[int] = 64
    """Images that it looks at, at most."""

    def finding(
        self, judgement: Judgement, figure: str, images: int, p: float | None = None
    ) -> Finding:
        """Return what was found, with the sentences where there is something."""
        found = judgement != "healthy"
        return Finding(
            self.name,
            judgement,
            figure,
            self.threshold,
            images,
            self.means if found else "",
            self.remedy if found else "",
            p,
        )

    @abstractmethod
    def judge(self, rows: Columns) -> Finding:
        """Return what the rows say."""


class Measured(Check):
    """A check that asks the model, and not only what the evaluation has found anyway.

    >>> issubclass(Probe, Measured)
    True
    """

    def applies(self, threat: ThreatModel) -> bool:
        """Return whether the check has a form under a threat model."""
        return True

    @abstractmethod
    def measure(self, subject: Subject) -> Columns:
        """Return a row per image of the subject."""


class Probe(Measured):
    """A check of the model itself, on images that it has right, before any attack.

    Where `triggers`, what it finds makes the suite "fast" go on with gradient-free and longer search.

    >>> Probe.triggers
    False
    """

    triggers: ClassVar[bool] = False
    twice: ClassVar[bool] = False
    """Whether it looks at the largest budget too, for the verdict alone: a pilot that depended on the
    largest one would change what was found at smaller ones when a budget is added."""


class Control(Measured):
    """A cheap attack of another kind, run on what survived: where it fools images that the suite did
    not, the suite failed on them.

    Two images are suspicious, whatever the share. It is broken where so many fall that an honest
    evaluation, which leaves one survivor in a hundred to it, would lose them with a chance of less
    than one per cent (exact binomial test, after Holm's correction for all controls), and where ten
    or more survived: of fewer, two move the number by nothing.

    >>> Control.threshold[:8]
    '2 images'
    """

    threshold = "2 images; broken of 10 or more at p < 1 % that it is 1 % of them"
    thorough: ClassVar[bool] = False
    """Run only where something was found, or on request."""

    @abstractmethod
    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the attack; None where it has no form under that threat model."""

    def applies(self, threat: ThreatModel) -> bool:
        """Return whether the attack has a form under a threat model."""
        return self.attack(threat) is not None

    def measure(self, subject: Subject) -> Columns:
        """Return which survivors it fools."""
        attack = self.attack(subject.threat)
        if attack is None:
            raise InputError(f"the check {self.name} has no form under {subject.threat}")
        result = subject.attacked(attack)
        return {"fooled": result.success & ~result.initially_wrong, **passes_of(result)}

    def judge(self, rows: Columns) -> Finding:
        """Return what fell; `p` is not corrected yet."""
        fooled, images = int(rows["fooled"].sum()), len(rows["fooled"])
        p = float(binom.sf(fooled - 1, images, HONEST)) if images else None
        judgement: Judgement = "suspicious" if fooled >= 2 else "healthy"
        return self.finding(judgement, f"{fooled} of {images} survivors fooled", images, p)


def passes_of(source: AttackResult | Guard) -> Columns:
    """Return the columns of the passes that were spent."""
    return {"forwards": source.forwards.clone(), "backwards": source.backwards.clone()}


def share(flags: Bool[Tensor, " m"], suspicious: float, broken: float) -> Judgement:
    """Return the judgement of a share of images: a rate needs two images, whatever the percentage.

    >>> share(torch.tensor([True] + [False] * 9), 0.01, 0.1)
    'healthy'
    >>> share(torch.tensor([True] * 2 + [False] * 9), 0.01, 0.1)
    'broken'
    """
    count, total = int(flags.sum()), len(flags)
    if count < 2:
        return "healthy"
    if count >= broken * total:
        return "broken"
    return "suspicious" if count >= suspicious * total else "healthy"
