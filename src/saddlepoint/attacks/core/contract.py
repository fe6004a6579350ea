"""`Attack`: checks a call, runs the paper's loop (`perturb`), and judges what it returns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.clean_pass import clean_pass
from saddlepoint.attacks.core.criteria import Criterion, Misclassified, Targeted
from saddlepoint.attacks.core.faults import warn_of_faults, warn_of_offers
from saddlepoint.attacks.core.forms import NORMS, check_form
from saddlepoint.attacks.core.inputs import Inputs, check_targets, free_features, may_move, placed
from saddlepoint.attacks.core.kinds import FIXED_BUDGET, MINIMUM_NORM, Kind
from saddlepoint.attacks.core.over_data import over_data
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.rounding import Reference
from saddlepoint.attacks.core.run import run
from saddlepoint.attacks.core.stages import Stages
from saddlepoint.attacks.core.ties import warn_of_ties
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.data import DataLike
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.option_values import Count, check_fields, check_value
from saddlepoint.streams import Keys
from saddlepoint.threat import ThreatModel, eps_of
from saddlepoint.threat.norms import at_least_single


@dataclass(frozen=True)
class Attack(ABC):
    """An attack: hyper-parameters, and one method with the paper's loop.

    Args:
        threat: what the adversary may do; its budget is in the units of `threat.space`.
        criterion: what counts as fooled, where no targets are given.
        stop: "success" finishes a sample at its first fooling iterate (evaluation); "never" goes on
            to the end (training, transfer). A model that is random at inference is never finished
            early: one lucky draw is no success.
        keep: "best" hands the judge the first iterate that fools, or, where none does or nothing
            stops early, that of smallest margin; "last" the last one, whatever came before.
        eot_samples: passes averaged at every step and by the judge, for models that are random at
            inference. The gradient is that of the mean of the passes' losses (expectation over
            transformation, Athalye et al. 2018, arXiv:1707.07397).
        autocast: "bf16" runs the loop in bfloat16; what the judge does not confirm is attacked again.
        compile: run the loop's passes through torch.compile.

    Subclasses of `FixedBudget` or `MinimumNorm` are frozen dataclasses with keyword-only fields and
    define `perturb`. See `UniformNoise` for a whole one.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.eye(2))
    >>> result = PGD(Linf(0.1), steps=5)(net, torch.tensor([[0.5, 0.4], [0.9, 0.1]]), torch.tensor([0, 0]))
    >>> result.success
    tensor([ True, False])
    """

    threat: ThreatModel
    criterion: Criterion = field(default=Misclassified(), kw_only=True)
    stop: Literal["success", "never"] = field(default="success", kw_only=True)
    keep: Literal["best", "last"] = field(default="best", kw_only=True)
    eot_samples: Count = field(default=1, kw_only=True)
    autocast: Literal["bf16"] | None = field(default=None, kw_only=True)
    compile: bool = field(default=False, kw_only=True)

    norms: ClassVar[tuple[str, ...]] = NORMS
    """The norms that the paper, or its usual extension, covers."""
    paper: ClassVar[str] = ""
    """Authors, year and arXiv number of the paper."""
    cost: ClassVar[str] = ""
    """The passes of the defaults, in words."""
    gradient_free: ClassVar[bool] = False
    """Whether it asks for no gradient."""
    whole_inputs: ClassVar[bool] = False
    """Whether it lays windows over all of an input; then it is of no threat model that holds some."""
    from_file: ClassVar[str] = ""
    """The option that names a file without which it cannot be run; "" where it needs none."""
    first_look: ClassVar[int] = 0
    """How many of its stages are worth their passes on all samples before any sample gets the rest."""
    paper_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """The options with which it is the paper's own attack; the defaults are ours."""

    def __post_init__(self) -> None:
        name, threat = type(self).__name__, self.threat
        if isinstance(threat, type) or not isinstance(threat, ThreatModel):
            raise InputError(
                f"{name} needs a threat model, for instance Linf(8/255); it got {threat!r}"
            )
        check_form(self, self.threat)
        check_fields(self, name)
        if isinstance(self.criterion, type) or not isinstance(self.criterion, Criterion):
            raise InputError(
                f"{name} needs a criterion, for instance Misclassified(); it got {self.criterion!r}"
            )
        self.kind.check(self.threat, self.keep, name)

    @classmethod
    def published(cls, threat: ThreatModel, **options: Any) -> Self:
        """Return the paper's own attack, where our defaults depart from it.

        Args:
            threat: as for the attack itself.
            options: any option, in place of the paper's too.

        >>> from saddlepoint.attacks import FMN
        >>> from saddlepoint.threat import L2
        >>> attack = FMN.published(L2(), steps=50)
        >>> attack.unfooled, attack.bisections, attack.steps
        ('linear', 0, 50)
        """
        return cls(threat, **{**cls.paper_options, **options})

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What the attack looks for; see `FixedBudget` and `MinimumNorm`."""

    @property
    def expected_steps(self) -> int:
        """The passes over a batch that a call takes as a rule, 0 where nobody knows: what an estimate
        of the time left begins with. By default the product of what its options repeat.
        """
        repeated = (getattr(self, name, None) for name in ("steps", "queries", "draws", "restarts"))
        counts = [each for each in repeated if isinstance(each, int)]
        return math.prod(counts) if counts else 0

    @abstractmethod
    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the paper's loop on `batch`, and `record` every iterate in `tracker`.

        In a judged call these are the samples that are not fooled yet, in training all of them;
        `tracker` starts with the clean images.
        """

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n ..."] | DataLike,
        labels: Int64[Tensor, " n"] | None = None,
        targets: Int64[Tensor, " n"] | None = None,
        *,
        seed: int = 0,
        ids: Int64[Tensor, " n"] | None = None,
        eps: float | Float[Tensor, " n"] | None = None,
        starts: Float[Tensor, "n ..."] | None = None,
        mask: Bool[Tensor, ...] | None = None,
        random: bool | None = None,
        stages: Stages | None = None,
        whole: bool = True,
    ) -> AttackResult:
        """Attack and judge; results are on the model's device.

        Args:
            model: from images in [0, 1] to logits (n, k). It comes out exactly as it went in.
            images: (n, c, h, w) or (n, d) in the valid range, a tensor or an array; 8-bit ones stand
                for [0, 1]. Or, without labels, a Dataset, a DataLoader or whatever `as_data` takes.
            labels: (n,) true classes.
            targets: (n,) the classes to be reached, for a targeted attack.
            seed: with `ids`, what every random draw is a function of.
            ids: (n,) the identity of each image, such as its index in the data; by default its row.
            eps: the budget, in place of the threat model's; one number or one per sample.
            starts: (n, …) images to start from (in the first restart), not the attack's own start.
            mask: True where a feature may change; of the shape of one image or of all.
            random: whether the model is random at inference, where that is known; None finds out.
            stages: remembers the restarts and targets that are done.
            whole: these are all images. Of a part, the model may return no answer for any, and
                nothing is said of it.

        Raises `InputError` for anything that cannot be attacked; see `saddlepoint.checks`.
        """
        if labels is None:
            each = partial(self, model, seed=seed, eps=eps, mask=mask, random=random, whole=False)
            rest = {"targets": targets, "ids": ids, "starts": starts, "eps": eps, "mask": mask}
            return over_data(each, model, images, **rest)
        given = Inputs.of(images, labels, targets, seed, ids, eps, starts, mask)
        batch = self._batch(model, given.checked(self.threat))
        guard = batch.guard
        with guard:
            declared = guard.random
            clean = clean_pass(batch, given, random, whole)
            reference = Reference.of(clean)
            batch = replace(batch, reference=reference, stages=stages)
            result = run(self, batch, clean, sure=random is not None)
        found = random is None and guard.random and not declared
        warn_of_faults(guard, result, reference.live, undeclared=found)
        if self.kind is FIXED_BUDGET:
            seen = ~(guard.ledger.unguided | guard.ledger.broken)
            warn_of_offers(self, result, batch.images, seen & may_move(batch.threat, batch.images))
        warn_of_ties(result.tied)
        return result

    def candidates(
        self,
        model: nn.Module,
        images: Float[Tensor, "n ..."],
        labels: Int64[Tensor, " n"],
        targets: Int64[Tensor, " n"] | None = None,
        *,
        seed: int = 0,
        ids: Int64[Tensor, " n"] | None = None,
        eps: float | Float[Tensor, " n"] | None = None,
        mask: Bool[Tensor, ...] | None = None,
        mode: Literal["eval", "train"] = "eval",
    ) -> Float[Tensor, "n ..."]:
        """Return what adversarial training needs of the inner maximisation: the last iterates, unjudged
        and without a clean pass.

        A minimum-norm attack returns the nearest it found. `mode` says which BatchNorm statistics
        the loop sees; see `saddlepoint.model.Guard`. All else is as in a call.
        """
        given = Inputs(images, labels, targets, seed, ids, eps, mask=mask)
        batch = self._batch(model, given.trusted(self.threat), mode)
        eps = eps_of(batch.threat, 1.0)
        with batch.guard:
            tracker = self.kind.training_tracker(batch.images)
            if isinstance(eps, Tensor) or eps != 0:  # in a ball of radius 0 there is nothing to try
                self.perturb(batch, tracker)
        return tracker.images

    @torch.inference_mode(False)
    @torch.no_grad()
    def _batch(
        self, model: nn.Module, given: Inputs, mode: Literal["eval", "train"] = "eval"
    ) -> Batch:
        """Return all samples of a call, on the model's device, with a guard for it."""
        check_value("mode", mode, Literal["eval", "train"])
        count, targets = len(given.images), given.targets
        guard = Guard(
            model,
            count,
            mode=mode,
            samples=self.eot_samples,
            seed=given.seed,
            autocast=self.autocast,
            compile=self.compile,
        )
        device = guard.device
        threat = self.kind.budgeted(self.threat, given.eps, count, type(self).__name__)
        images = at_least_single(given.images).to(device)
        if targets is not None:
            check_targets(targets, given.labels, self.criterion)
        return Batch(
            guard=guard,
            threat=placed(threat, images),
            criterion=self.criterion if targets is None else Targeted(),
            images=images,
            goals=(given.labels if targets is None else targets).to(device, torch.int64),
            keys=Keys(given.seed, given.rows.to(device)),
            index=torch.arange(count, device=device),
            starts=None if given.starts is None else given.starts.to(device, images.dtype),
            mask=free_features(given.mask, threat, images),
        )


class FixedBudget(Attack):
    """An attack that looks for the image of smallest margin within the budget of the threat model.

    >>> from saddlepoint.attacks import FGSM
    >>> issubclass(FGSM, FixedBudget)
    True
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1", "L2/token", "Box")

    @property
    def kind(self) -> Kind:
        """What the attack looks for."""
        return FIXED_BUDGET


class MinimumNorm(Attack):
    """An attack that looks for the nearest image that fools, and reports its distance.

    Its threat model is a norm without a budget. Success ends no search, so that `stop` changes
    nothing, and the nearest is kept: there is no `keep="last"`.

    >>> from saddlepoint.attacks import DDN
    >>> issubclass(DDN, MinimumNorm)
    True
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L1", "L0")

    @property
    def kind(self) -> Kind:
        """What the attack looks for."""
        return MINIMUM_NORM
