"""What is to be said of a model that is random at inference: three numbers, on draws that neither the
attack nor the choice of the image has seen.

An image that fooled one draw is no adversarial image yet, and one that ever fools some draw of many
is found for any random model. So fixed images are handed in again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.answers import check_answered, unanswered
from saddlepoint.attacks import Criterion, Misclassified
from saddlepoint.attacks.core.clean_pass import check_clean
from saddlepoint.attacks.core.faults import find_randomness
from saddlepoint.attacks.core.no_class import stand_ins
from saddlepoint.checks import as_pixels, check_labels, tensor_of
from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.evaluation.fresh_draws import Tally, fresh_guard
from saddlepoint.evaluation.resubmitted import RESUBMISSIONS, Resubmitted, in_words
from saddlepoint.model import Guard
from saddlepoint.streams import Keys, Stream
from saddlepoint.tables import Shown, Table

SELECTION_DRAWS = 20
"""Of each candidate, where there are several; none of them judges."""
LEAST_DRAWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Randomised(Shown):
    """The three numbers of a model that is random at inference, under attack and clean.

    Attributes:
        clean, adversarial: the images as they were, and those that were chosen.
        chosen: (n,) the number of the candidate; 0 where there is one.
        forwards: (n,) passes of each image: a pass of each draw, clean and under attack, and those
            of the selection.

    >>> stood = Resubmitted(100, torch.tensor([100, 90]), torch.tensor([True, True]))
    >>> Randomised(stood, stood, torch.zeros(2), torch.tensor([200, 200]))
    expected robust accuracy 95.0 % [30.9, 99.9] of 2 fixed images
    the image is right               clean accuracy        robust accuracy
    ----------------------------------------------------------------------
    in 1 draw, expected         95.0 % [30.9, 99.9]    95.0 % [30.9, 99.9]
    in all of 10 draws          66.5 % [15.9, 95.4]    66.5 % [15.9, 95.4]
    in all of 100 draws          50.0 % [9.5, 90.5]     50.0 % [9.5, 90.5]
    by the vote of 100 draws  100.0 % [34.2, 100.0]  100.0 % [34.2, 100.0]
    note: 100 draws that neither an attack nor ...
    """

    clean: Resubmitted
    adversarial: Resubmitted
    chosen: Int64[Tensor, " n"]
    forwards: Int64[Tensor, " n"]

    def tables(self) -> Sequence[Table]:
        """Return a row for each number."""
        draws = self.adversarial.draws
        told = self.adversarial.budgets
        pairs = [(self.clean.worst_of(each), self.adversarial.worst_of(each)) for each in told]
        rows = [
            (in_words(times), str(clean), str(robust))
            for times, (clean, robust) in zip(told, pairs, strict=True)
        ]
        votes = str(self.clean.vote), str(self.adversarial.vote)
        rows.append((f"by the vote of {draws} draws", *votes))
        count = len(self.chosen)
        title = f"expected robust accuracy {pairs[0][1]} of {count:,} fixed images"
        columns = ("the image is right", "clean accuracy", "robust accuracy")
        return [Table(title, columns, rows, self._notes)]

    @cached_property
    def _notes(self) -> tuple[str, ...]:
        draws = self.adversarial.draws
        passes = float(self.forwards.double().mean()) if len(self.forwards) else 0.0
        notes = [
            f"{draws} draws that neither an attack nor the choice of an image has seen;"
            f" {passes:.1f} forward passes per image; intervals are over images and draws"
        ]
        if others := int((self.chosen > 0).sum()):
            notes.append(
                f"of {others:,} images another candidate than the first was chosen, by the mean"
                f" margin of {SELECTION_DRAWS} other draws"
            )
        untold = [str(times) for times in RESUBMISSIONS if times > draws]
        if untold:
            notes.append(f"for the worst of {', '.join(untold)} give as many draws")
        return tuple(notes)

    def json(self) -> dict[str, object]:
        """Return the numbers for a record.

        >>> stood = Resubmitted(20, torch.tensor([20]), torch.tensor([True]))
        >>> sorted(Randomised(stood, stood, torch.zeros(1), torch.tensor([40])).json())
        ['clean', 'forwards_per_image', 'robust']
        """
        passes = float(self.forwards.double().mean()) if len(self.forwards) else None
        return {
            "clean": self.clean.json(),
            "robust": self.adversarial.json(),
            "forwards_per_image": passes,
        }

    def columns(self) -> dict[str, Tensor]:
        """Return a row per image, as steps keep it; `of` is the way back."""
        draws = torch.full_like(self.adversarial.standing, self.adversarial.draws)
        parts = {"clean": self.clean, "adversarial": self.adversarial}
        return {
            "draws": draws,
            **{f"{name}_standing": each.standing for name, each in parts.items()},
            **{f"{name}_voted": each.voted for name, each in parts.items()},
            "chosen": self.chosen,
            "forwards": self.forwards,
        }

    @classmethod
    def of(cls, columns: Mapping[str, Tensor]) -> Randomised:
        """Return what the rows of one batch, or of several below each other, say.

        Raises `InputError` for rows of differing numbers of draws.

        >>> stood = Resubmitted(20, torch.tensor([20]), torch.tensor([True]))
        >>> columns = Randomised(stood, stood, torch.zeros(1), torch.tensor([40])).columns()
        >>> Randomised.of({name: each.repeat(3) for name, each in columns.items()}).clean.vote.total
        3
        """
        draws = sorted(set(columns["draws"].tolist()))
        if len(draws) != 1:
            raise InputError(f"the rows are of {draws} draws; give rows of one number")
        clean, adversarial = (
            Resubmitted(draws[0], columns[f"{name}_standing"], columns[f"{name}_voted"])
            for name in ("clean", "adversarial")
        )
        return cls(clean, adversarial, columns["chosen"], columns["forwards"])


def randomised(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    adversarials: Float[Tensor, "n ..."] | Sequence[Float[Tensor, "n ..."]],
    *,
    seed: int = 0,
    ids: Int64[Tensor, " n"] | None = None,
    draws: int = 100,
    criterion: Criterion | None = None,
) -> Randomised:
    """Return how often fixed images stand in fresh draws of a model that is random at inference.

    Of several candidates the one of the smallest mean margin over `SELECTION_DRAWS` draws is taken,
    the same draws for all of them, and judged by others: the smallest of several means is smaller
    than what it estimates (the winner's curse). Noise of random layers is a function of (seed, id,
    draw) and depends neither on the batch nor on the number of candidates; all candidates share a
    batch while one is chosen. In a draw without an answer (NaN) an image is wrong.

    Args:
        model: from images in [0, 1] to logits; a call is one draw, also where it averages passes.
        images, labels: the clean images and their classes.
        adversarials: (n, …) in the same order, within the budget, as judges return them; or several
            such candidates. The clean images may be one.
        seed, ids: of the draws; by default an image's id is its row.
        draws: fresh ones, of the clean and of the chosen images alike.
        criterion: what counts as fooled; None is `Misclassified`.

    Raises `InputError` for shapes that differ, images that are not finite, and fewer than 20 draws.

    Reference: Athalye, Carlini and Wagner 2018, arXiv:1802.00420, on stochastic defences; how often
    an image was handed in, and judged by which draws, is what later evaluations differ in.

    >>> from saddlepoint.defences import GaussianNoise
    >>> net = nn.Sequential(GaussianNoise(0.1), nn.Flatten())
    >>> x, y = torch.tensor([[0.8, 0.2], [0.8, 0.2]]), torch.tensor([0, 0])
    >>> found = randomised(net, x, y, torch.tensor([[0.6, 0.5], [0.5, 0.5]]))
    >>> found.clean.standing, found.adversarial.standing, found.adversarial.vote.count
    (tensor([100, 100]), tensor([79, 49]), 1)
    """
    check_count("draws", draws, least=LEAST_DRAWS)
    images, labels = as_pixels(tensor_of(images, "images")), tensor_of(labels, "labels")
    check_labels(labels, len(images))
    candidates = _candidates(adversarials, images)
    rows = torch.arange(len(images)) if ids is None else tensor_of(ids, "ids")
    check_labels(rows, len(images), "ids")
    criterion = Misclassified() if criterion is None else criterion
    device = Guard(model, 0).device
    x, candidates, goals = images.to(device), candidates.to(device), labels.to(device, torch.int64)
    keys = Keys(seed, rows.to(device), Stream.RESUBMISSIONS)
    clean, attacked = Tally(goals, criterion), Tally(goals, criterion)
    with fresh_guard(model, keys, "resubmissions") as guard:
        first = guard.logits(x, None, keys)
        silent = unanswered(first)
        check_answered(~silent, model, whole=False)
        check_clean(criterion, first, goals)
        guard.set_random(find_randomness(guard, x))
        instead = stand_ins(criterion, first, goals)
        guard.ledger.expect(first, stand_ins=instead)
        first = torch.where(silent[:, None], instead, first)
        chosen = _chosen(guard, candidates, keys.split(Stream.SELECTION), attacked)
        fixed = candidates[chosen, torch.arange(len(x), device=device)]
        for draw in range(draws):
            clean.count(guard.logits(x, None, keys) if draw else first)
            attacked.count(guard.logits(fixed, None, keys))
    told = [Resubmitted(draws, each.standing, each.holds_the_vote()) for each in (clean, attacked)]
    return Randomised(told[0], told[1], chosen, guard.forwards)


def _candidates(offered: object, images: Tensor) -> Float[Tensor, "c n ..."]:
    """Return the candidates of each image, one below the other."""
    several = offered if isinstance(offered, list | tuple) else (offered,)
    found = [as_pixels(tensor_of(each, "adversarial images")) for each in several]
    for each in found:
        if each.shape != images.shape:
            raise InputError(
                f"the adversarial images have shape {tuple(each.shape)}, the clean ones"
                f" {tuple(images.shape)}; give one for each, in the same order"
            )
        if not bool(each.isfinite().all()):
            raise InputError(
                "adversarial images contain NaN or infinity; give what a judge returns"
            )
    if not found:
        raise InputError("there are no adversarial images; give one for each image")
    return torch.stack([each.to(images.dtype) for each in found])


def _chosen(guard: Guard, candidates: Tensor, keys: Keys, told: Tally) -> Int64[Tensor, " n"]:
    """Return the number of each image's candidate that has the smallest mean margin; of equal ones
    the first.
    """
    count, size = candidates.shape[:2]
    rows = torch.arange(size, device=candidates.device)
    if count == 1:
        return torch.zeros_like(rows)
    all_rows, flat = rows.repeat(count), candidates.flatten(0, 1)
    tally = Tally(told.goals[all_rows], told.criterion)
    for _ in range(SELECTION_DRAWS):
        tally.count(guard.logits(flat, all_rows, keys.at(all_rows)))
    return tally.margins.reshape(count, size).argmin(0)
