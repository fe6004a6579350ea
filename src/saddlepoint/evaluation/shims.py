"""Our attacks behind other libraries' calls, for scripts that exist already."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack, AttackResult
from saddlepoint.checks import in_range
from saddlepoint.errors import InputError
from saddlepoint.evaluation.suites import build_suite
from saddlepoint.model import Guard
from saddlepoint.threat import norm_ball


class TorchattacksStyle:
    """An attack called as torchattacks calls its own: `atk(images, labels)`.

    Args:
        attack: any attack of ours.
        model: from images in [0, 1] to logits.

    The last result, with what was really adversarial, is in `result`.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> atk = TorchattacksStyle(FGSM(Linf(0.2)), nn.Flatten())
    >>> atk(torch.tensor([[0.6, 0.5]]), torch.tensor([0]))
    tensor([[0.4000, 0.7000]])
    >>> atk.result.success
    tensor([True])
    """

    result: AttackResult | None = None

    def __init__(self, attack: Attack, model: nn.Module) -> None:
        self.attack = attack
        self.model = model
        self._target_of: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(
        self, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, "n ..."]:
        """Return the adversarial images; clean ones where the attack offered nothing valid."""
        targets = None
        if self._target_of is not None:
            targets = self._target_of(images, labels)
            with Guard(self.model, 1) as guard:
                classes = guard.logits(images[:1].to(guard.device)).shape[1]
            # Given as targets, the labels say nothing of the true classes; any other class will do.
            labels = torch.where(targets == labels, (labels + 1) % classes, labels)
        self.result = self.attack(self.model, images, labels, targets)
        return self.result.adversarials

    def set_mode_default(self) -> None:
        """Attack away from the labels."""
        self._target_of = None

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        """Take the labels of a call as targets."""
        self._target_of = lambda images, labels: labels

    def set_mode_targeted_by_function(
        self, target_map_function: Callable[[Tensor, Tensor], Tensor], quiet: bool = False
    ) -> None:
        """Take `target_map_function(images, labels)` as targets."""
        self._target_of = target_map_function


class AutoAttack:
    """A suite called as AutoAttack calls its own: `run_standard_evaluation(x, y)`.

    Args:
        model: from images in [0, 1] to logits.
        norm: "Linf", "L2" or "L1".
        eps: the budget, in pixels.
        seed: of every random draw.
        version: "standard" runs the suite of that name; so do "quick" and "thorough".
        verbose: report the robust accuracy after each attack.
        device: accepted for the call's sake; the model says where it is.
        log: where the lines go, for instance `print`; None is the log of this module.

    >>> AutoAttack(nn.Flatten(), norm="Linf", eps=8 / 255, version="quick").attacks_to_run[0]
    'fgsm'
    """

    def __init__(
        self,
        model: nn.Module,
        norm: str = "Linf",
        eps: float = 0.3,
        seed: int = 0,
        version: str = "standard",
        verbose: bool = False,
        device: str | torch.device | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.model = model
        self.seed = seed
        self.suite = dict(build_suite(version, norm_ball(norm, eps)))
        self._log = (log or logging.getLogger(__name__).info) if verbose else None

    @property
    def attacks_to_run(self) -> list[str]:
        """The names of the attacks, in the order in which they are run."""
        return list(self.suite)

    def run_standard_evaluation(
        self,
        x_orig: Float[Tensor, "n ..."],
        y_orig: Int64[Tensor, " n"],
        bs: int = 250,
        return_labels: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the adversarial images, each attack having run on the survivors of the last.

        Where no attack succeeds the clean image stays. With `return_labels` also the classes that
        the model gives to what is returned. Raises `InputError` for what cannot be attacked.
        """
        if bs < 1:
            raise InputError(f"bs is {bs}; give at least 1")
        x_orig = in_range(x_orig)
        found = x_orig.clone()
        predicted = y_orig.clone()
        standing = torch.arange(len(x_orig))
        for name, attack in self.suite.items():
            still = []
            for rows in torch.split(standing, bs):
                result = attack(self.model, x_orig[rows], y_orig[rows], seed=self.seed, ids=rows)
                done = result.success.cpu()
                found[rows[done]] = result.adversarials[result.success].to(found)
                predicted[rows[done]] = result.predictions[result.success].to(predicted)
                still.append(rows[~done])
            standing = torch.cat(still) if still else standing
            if self._log is not None:
                share = len(standing) / max(len(x_orig), 1)
                self._log(f"robust accuracy after {name}: {100 * share:.2f} %")
            if not len(standing):
                break
        return (found, predicted) if return_labels else found

    def run_standard_evaluation_individual(
        self, x_orig: Float[Tensor, "n ..."], y_orig: Int64[Tensor, " n"], bs: int = 250
    ) -> dict[str, Tensor]:
        """Return the adversarial images of each attack run on all images, by its name."""
        x_orig, found = in_range(x_orig), {}
        for name, attack in self.suite.items():
            parts = [
                attack(
                    self.model, x_orig[rows], y_orig[rows], seed=self.seed, ids=rows
                ).adversarials
                for rows in torch.split(torch.arange(len(x_orig)), bs)
            ]
            found[name] = torch.cat(parts)
        return found
