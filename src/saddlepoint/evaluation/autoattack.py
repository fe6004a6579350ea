"""Our attacks behind AutoAttack's calls, for scripts that exist already."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.answers import NO_CLASS, check_answered, check_logits
from saddlepoint.attacks import Attack, predict
from saddlepoint.attacks.core.no_class import warn_of_silence
from saddlepoint.checks import check_classes, in_range
from saddlepoint.counts import check_count
from saddlepoint.errors import InputError, OutputError
from saddlepoint.evaluation.autoattack_versions import (
    SETTINGS,
    Settings,
    attack_of,
    version_of,
)
from saddlepoint.evaluation.shim_inputs import batch_of, check_setting, names_of
from saddlepoint.evaluation.unsupported import AUTOATTACK, UnsupportedError
from saddlepoint.files import reason
from saddlepoint.model import Guard, full_precision
from saddlepoint.streams import Keys
from saddlepoint.threat import NormBall, norm_ball


class AutoAttack:
    """A suite called as AutoAttack calls its own: `run_standard_evaluation(x, y)`.

    Args:
        model: from images in [0, 1] to logits.
        norm: "Linf", "L2" or "L1".
        eps: the budget, in pixels.
        seed: of every random draw; None is 0.
        verbose: report the initial accuracy and what each attack leaves of it, to `log` and
            `log_path`. Nothing is printed, as AutoAttack does, unless `log` is `print`.
        attacks_to_run: with version="custom": AutoAttack's names (apgd-ce, apgd-dlr, apgd-t, fab,
            fab-t, square), and any of ours.
        version: "standard", "plus", "rand" or "custom" as AutoAttack has them; "quick" and
            "thorough" are suites of ours.
        is_tf_model: must be False.
        device: accepted for the call's sake; the model says where it is.
        log_path: a file that the lines are added to.
        log: what is called with each line: `print` shows them as AutoAttack does; None is
            `logging`, whose lines of this level are not shown by default.

    The settings `apgd`, `apgd_targeted`, `fab` and `square` may be changed, as in
    `adversary.apgd.n_restarts = 2`, and so may `attacks_to_run`.

    >>> AutoAttack(nn.Flatten(), norm="Linf", eps=8 / 255).attacks_to_run
    ['apgd-ce', 'apgd-t', 'fab-t', 'square']
    """

    settings: dict[str, Settings]
    _names: list[str]

    def __init__(
        self,
        model: nn.Module,
        norm: str = "Linf",
        eps: float = 0.3,
        seed: int | None = None,
        verbose: bool = True,
        attacks_to_run: Sequence[str] = (),
        version: str = "standard",
        is_tf_model: bool = False,
        device: str | torch.device | None = None,
        log_path: Path | str | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        if is_tf_model:
            raise InputError("is_tf_model: the model must be a torch.nn.Module; leave it out")
        names = names_of("attacks_to_run", attacks_to_run)
        if names and version != "custom":
            raise InputError(
                f'version="{version}" has its own attacks; give version="custom" with attacks_to_run'
            )
        self.model = model
        if not isinstance(norm, str):
            raise InputError(f'norm is {norm!r}; give "Linf", "L2" or "L1"')
        self.threat: NormBall = norm_ball(norm, eps)
        self.seed = 0 if seed is None else seed
        self.verbose = verbose
        self.log_path = log_path
        check_setting("log", log)
        self._log = log or logging.getLogger(__name__).info
        self.set_version(version)
        if version == "custom":
            self.attacks_to_run = names

    @property
    def attacks_to_run(self) -> list[str]:
        """The names of the attacks, in the order in which they are run."""
        return self._names

    @attacks_to_run.setter
    def attacks_to_run(self, names: Sequence[str]) -> None:
        found = names_of("attacks_to_run", names)
        for name in found:
            attack_of(name, self.threat, self.settings, self.version)
        self._names = found

    @property
    def suite(self) -> dict[str, Attack]:
        """The attacks by name, as they are set now."""
        if not self._names:
            raise InputError("attacks_to_run is empty; give at least one attack")
        return {
            name: attack_of(name, self.threat, self.settings, self.version) for name in self._names
        }

    def set_version(self, version: str = "standard") -> None:
        """Take the attacks and settings of a version."""
        self.version = version
        self.settings, self._names = version_of(version, self.threat)

    def __getattr__(self, name: str) -> Any:
        settings: dict[str, Settings] = self.__dict__.get("settings", {})
        if name in settings:
            return settings[name]
        if name in AUTOATTACK:
            raise UnsupportedError(f"AutoAttack's {name} is not here: {AUTOATTACK[name]}")
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _SETTABLE:  # it would change nothing
            why = AUTOATTACK.get(name, f"settings go to {', '.join(SETTINGS)}")
            raise UnsupportedError(f"AutoAttack's {name} cannot be set: {why}")
        if name == "seed" and value is None:
            value = 0
        check_setting(name, value)
        super().__setattr__(name, value)

    def get_logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the model's logits, in evaluation mode and full precision."""
        x = in_range(x)
        return self._logits(x, torch.arange(len(x)))

    def _logits(self, x: Tensor, ids: Tensor) -> Tensor:
        # A random model is asked as often as its attacks ask it.
        samples = max(int(self.settings[name].eot_iter) for name in ("apgd", "apgd_targeted"))
        guard = Guard(self.model, len(x), samples=samples, seed=self.seed)
        with guard, full_precision(guard.device):
            keys = Keys(self.seed, ids.to(guard.device))
            return guard.logits(x.to(guard.device), None, keys)

    def clean_accuracy(
        self, x_orig: Float[Tensor, "n ..."], y_orig: Int64[Tensor, " n"], bs: int = 250
    ) -> float:
        """Return the share of images that the model classifies correctly."""
        x, y = batch_of(x_orig, y_orig)
        share = float((self._predicted(in_range(x), y, bs) == y.cpu()).double().mean())
        self._tell(f"clean accuracy: {share:.2%}")
        return share

    def run_standard_evaluation(
        self,
        x_orig: Float[Tensor, "n ..."],
        y_orig: Int64[Tensor, " n"],
        bs: int = 250,
        return_labels: bool = False,
        state_path: Path | str | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the adversarial images, each attack having run on the survivors of the last.

        Where no attack succeeds the clean image stays. With `return_labels` also the classes that
        the model gives to what is returned. Raises `InputError` for what cannot be attacked, and
        for `state_path`: `evaluate(out=)` goes on where it stopped.
        """
        if state_path is not None:
            raise InputError("state_path is not here; evaluate(…, out=FOLDER) can be interrupted")
        self._tell(f"using {self.version} version including {', '.join(self._names)}")
        return self._run(self.suite, x_orig, y_orig, bs, return_labels)

    def run_standard_evaluation_individual(
        self,
        x_orig: Float[Tensor, "n ..."],
        y_orig: Int64[Tensor, " n"],
        bs: int = 250,
        return_labels: bool = False,
    ) -> dict[str, Any]:
        """Return the adversarial images of each attack run on all images, by its name."""
        self._tell(f"using {self.version} version including {', '.join(self._names)}")
        return {
            name: self._run({name: attack}, x_orig, y_orig, bs, return_labels)
            for name, attack in self.suite.items()
        }

    def _run(
        self, suite: dict[str, Attack], x_orig: Tensor, y_orig: Tensor, bs: int, labels: bool
    ) -> Tensor | tuple[Tensor, Tensor]:
        x, y = batch_of(x_orig, y_orig)
        x = in_range(x)
        began, total = time.perf_counter(), len(x)
        found, predicted = x.clone(), self._predicted(x, y, bs).to(y)
        standing = torch.arange(total)[(predicted == y).cpu()]
        self._tell(f"initial accuracy: {len(standing) / total:.2%}")
        for name, attack in suite.items():
            if not len(standing):
                break
            still, parts = [], torch.split(standing, bs)
            for number, rows in enumerate(parts, 1):
                result = attack(self.model, x[rows], y[rows], seed=self.seed, ids=rows, whole=False)
                done = result.success.cpu()
                found[rows[done]] = result.adversarials[result.success].to(found)
                predicted[rows[done]] = result.predictions[result.success].to(predicted)
                still.append(rows[~done])
                self._tell(
                    f"{name} - {number}/{len(parts)} - {int(done.sum())} out of {len(rows)}"
                    " successfully perturbed"
                )
            standing = torch.cat(still)
            self._tell(
                f"robust accuracy after {name.upper()}: {len(standing) / total:.2%} (total time"
                f" {time.perf_counter() - began:.1f} s)"
            )
        far = float(self.threat.distance(x, found).max())
        self._tell(
            f"max {type(self.threat).__name__} perturbation: {far:.5f}, nan in tensor:"
            f" {int(found.isnan().sum())}, max: {float(found.max()):.5f}, min: {float(found.min()):.5f}"
        )
        self._tell(f"robust accuracy: {len(standing) / total:.2%}")
        return (found, predicted) if labels else found

    def _predicted(self, x: Tensor, y: Tensor, bs: int) -> Int64[Tensor, " n"]:
        """Return the predicted classes; raises `InputError` where labels are no classes."""
        check_count("bs", bs)
        found = []
        for rows in torch.split(torch.arange(len(x)), bs):
            logits = self._logits(x[rows], rows)
            check_logits(logits)
            check_classes(y, logits.shape[1])
            found.append(predict(logits).cpu())
        predicted = torch.cat(found)
        check_answered(predicted != NO_CLASS, self.model)
        warn_of_silence(predicted == NO_CLASS)
        return predicted

    def _tell(self, line: str) -> None:
        if self.verbose:
            self._log(line)
            if self.log_path is not None:
                _add(Path(self.log_path), line)


_SETTABLE = frozenset(
    {
        *(
            "model",
            "threat",
            "seed",
            "verbose",
            "log_path",
            "attacks_to_run",
            "version",
            "settings",
        ),
        *("_log", "_names"),
    }
)


def _add(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}; give another log_path") from error
