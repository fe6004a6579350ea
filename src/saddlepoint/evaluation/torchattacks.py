"""Our attacks behind torchattacks' calls, for scripts that exist already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saddlepoint.attacks import Attack, AttackResult
from saddlepoint.checks import as_pixels, check_classes, check_labels, tensor_of, without_rounding
from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.evaluation.export import to_eight_bits
from saddlepoint.evaluation.shim_inputs import batch_of, check_path, check_setting, numbered
from saddlepoint.evaluation.torchattacks_files import Saving, levels, read_saved
from saddlepoint.evaluation.torchattacks_normalisation import (
    constants_of,
    in_pixels,
    normalised,
    pixels_of,
)
from saddlepoint.evaluation.unsupported import SETTABLE, TORCHATTACKS, UnsupportedError
from saddlepoint.model import Guard, device_of, full_precision
from saddlepoint.streams import Keys, Stream

_Targets = Callable[[Tensor, Tensor], Tensor]
_TargetsOf = Callable[[Tensor, Tensor, Tensor], Tensor]  # of pixels, labels and ids
_COLUMNS = ("adv_inputs", "labels")  # of every saved file


class TorchattacksStyle:
    """An attack called as torchattacks calls its own: `atk(images, labels)`.

    Args:
        attack: any attack of ours.
        model: from images in [0, 1] to logits; after `set_normalization_used` from normalised
            images.
        seed: of every random draw.
        log: what is called with the line that `save` tells: `print` shows it as torchattacks does;
            None is `logging`, whose lines of this level are not shown by default.

    The last result, with what was really adversarial, is in `result`; it is in pixels. What
    torchattacks has and this has not is refused by name.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> atk = TorchattacksStyle(FGSM(Linf(0.2)), nn.Flatten())
    >>> atk(torch.tensor([[0.6, 0.5]]), torch.tensor([0]))
    tensor([[0.4000, 0.7000]])
    >>> atk.result.success
    tensor([True])
    """

    result: AttackResult | None = None
    supported_mode = ("default", "targeted")

    def __init__(
        self,
        attack: Attack,
        model: nn.Module,
        *,
        seed: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.attack = attack
        self.model = model
        self.seed = seed
        self.attack_mode = "default"
        self.return_type = "float"
        self.normalization_used: dict[str, Tensor] | None = None
        self._target_of: _TargetsOf | None = None
        check_setting("log", log)
        self._log = log or logging.getLogger(__name__).info

    @property
    def targeted(self) -> bool:
        """Whether classes are attacked towards, not away from."""
        return self._target_of is not None

    @property
    def device(self) -> torch.device:
        """The model's."""
        return device_of(self.model)

    def __call__(
        self, inputs: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, "n ..."]:
        """Return the adversarial images; clean ones where the attack offered nothing valid."""
        given, labels = batch_of(inputs, labels)
        images = self._pixels(given)
        result = self._attacked(images, labels, torch.arange(len(images)))
        if self.return_type == "int":
            return levels(self._rounded(images, result))
        found = result.adversarials
        return found if self.normalization_used is None else self.normalize(found)

    def set_mode_default(self) -> None:
        """Attack away from the labels."""
        self.attack_mode, self._target_of = "default", None

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        """Take the labels of a call as targets."""
        self.attack_mode, self._target_of = "targeted(label)", lambda images, labels, ids: labels

    def set_mode_targeted_by_function(
        self, target_map_function: _Targets, quiet: bool = False
    ) -> None:
        """Take `target_map_function(images, labels)` as targets; the images are in pixels."""
        if not callable(target_map_function):
            raise InputError("target_map_function must be a function of images and labels")
        self.attack_mode = "targeted(custom)"
        self._target_of = lambda images, labels, ids: target_map_function(images, labels)

    def set_mode_targeted_random(self, quiet: bool = False) -> None:
        """Take for each image another class than its label, drawn by the seed and its place in the
        call, or in all that is saved.
        """
        self.attack_mode, self._target_of = "targeted(random)", self._random

    def set_mode_targeted_least_likely(self, kth_min: int = 1, quiet: bool = False) -> None:
        """Take the other class of the k-th smallest logit as each image's target."""
        check_count("kth_min", kth_min)

        def target(images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
            logits = self._logits(images)
            if kth_min >= logits.shape[1]:
                raise InputError(
                    f"kth_min is {kth_min}, but there are {logits.shape[1] - 1} other classes"
                )
            others = logits.scatter(1, labels.to(logits.device)[:, None], torch.inf)
            return others.argsort(1)[:, kth_min - 1]

        self.attack_mode, self._target_of = "targeted(least-likely)", target

    def get_mode(self) -> str:
        """Return "default" or "targeted(…)"."""
        return self.attack_mode

    def set_model(self, model: nn.Module) -> None:
        """Attack another model."""
        self.model = model

    def set_device(self, device: torch.device | str) -> None:
        """Accept the model's device; raises `InputError` for another: move the model."""
        if str(device).partition(":")[0] != self.device.type:
            raise InputError(f"the model is on {self.device}; move it to {device} instead")

    def set_normalization_used(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take and return images that are normalised by these constants, as the model takes them;
        budgets stay in pixels.
        """
        self.normalization_used = constants_of(mean, std)

    def normalize(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return images in [0, 1] as the model takes them."""
        return normalised(inputs, self.normalization_used)

    def inverse_normalize(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return images that the model takes in [0, 1]; raises `InputError` for whole numbers, which
        are no normalised images.
        """
        return pixels_of(inputs, self.normalization_used)

    def set_return_type(self, type: str) -> None:
        """Return "float" images, or "int": 8-bit ones, rounded so that they stay in the budget."""
        if type not in ("float", "int"):
            raise InputError(f"the return type is {type!r}; give float or int")
        self.return_type = type

    def get_return_type(self) -> str:
        """Return "float" or "int"."""
        return self.return_type

    def set_model_training_mode(
        self,
        model_training: bool = False,
        batchnorm_training: bool = False,
        dropout_training: bool = False,
    ) -> None:
        """Accept evaluation mode; raises `InputError` for any other, which gives other numbers."""
        if model_training or batchnorm_training or dropout_training:
            raise InputError(
                "attacks see the model in evaluation mode; in training mode only"
                ' attack.candidates(…, mode="train") runs'
            )

    def save(
        self,
        data_loader: DataLoader[Any],
        save_path: Path | str | None = None,
        verbose: bool = True,
        return_verbose: bool = False,
        save_predictions: bool = False,
        save_clean_inputs: bool = False,
        save_type: str = "float",
    ) -> tuple[float, float, float] | None:
        """Attack every batch, and write adv_inputs and labels, with preds and clean_inputs where
        asked for, as `load` and torchattacks read them: images are pixels, in [0, 1] or 8-bit.

        Random draws depend on an image's place in the loader, not on its batch. With `verbose` a
        line goes to `log`. Returns, with `return_verbose`, the robust accuracy in per cent, the
        mean L2 distance of the fooling images in pixels, and the seconds.
        """
        if save_type not in ("float", "int"):
            raise InputError(f"save_type is {save_type!r}; give float or int")
        if save_path is not None:
            check_path("save_path", save_path)
        saving, eight = Saving(save_type), "int" in (save_type, self.return_type)
        for inputs, labels, ids in numbered(data_loader):
            images = self._pixels(inputs)
            result = self._attacked(images, labels, ids)
            clean, found = without_rounding(images).to(result.adversarials), result.adversarials
            saving.add(clean, self._rounded(clean, result) if eight else found, labels, result)
        told = saving.told()
        if save_path is not None:
            more = [*["preds"] * save_predictions, *["clean_inputs"] * save_clean_inputs]
            saving.write(save_path, [*_COLUMNS, *more])
        if verbose:
            self._log(
                f"- Save progress: 100.00 % / Robust accuracy: {told[0]:.2f} % / L2: {told[1]:.5f}"
                f" ({told[2]:.3f} s)"
            )
        return told if return_verbose else None

    @staticmethod
    def load(
        load_path: Path | str,
        batch_size: int = 128,
        shuffle: bool = False,
        normalize: dict[str, Sequence[float]] | None = None,
        load_predictions: bool = False,
        load_clean_inputs: bool = False,
    ) -> DataLoader[tuple[Tensor, ...]]:
        """Return what `save` wrote, 8-bit images in [0, 1], without running code from the file."""
        check_path("load_path", load_path)
        names = [*_COLUMNS, *["preds"] * load_predictions, *["clean_inputs"] * load_clean_inputs]
        return read_saved(load_path, names, normalize, batch_size, shuffle)

    def __getattr__(self, name: str) -> Any:
        if name in TORCHATTACKS:
            raise UnsupportedError(f"torchattacks' {name} is not here: {TORCHATTACKS[name]}")
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in SETTABLE:  # it would change nothing
            why = TORCHATTACKS.get(name, "it is not read here")
            raise UnsupportedError(f"{name} cannot be set: {why}")
        check_setting(name, value)
        super().__setattr__(name, value)

    def _attacked(self, images: Tensor, labels: Tensor, ids: Tensor) -> AttackResult:
        """Return, and keep, what the attack finds of images in pixels; `ids` are their places."""
        targets = None
        if self._target_of is not None:
            classes = self._classes(images)
            check_classes(labels, classes)
            targets = tensor_of(self._target_of(images, labels, ids), "targets").to(labels.device)
            check_labels(targets, len(images), "targets")
            # Given as targets, the labels say nothing of the true classes; any other class will do.
            labels = torch.where(targets == labels, (labels + 1) % classes, labels)
        self.result = self.attack(self._model(), images, labels, targets, seed=self.seed, ids=ids)
        return self.result

    def _pixels(self, inputs: Tensor) -> Tensor:
        return (
            as_pixels(inputs) if self.normalization_used is None else self.inverse_normalize(inputs)
        )

    def _model(self) -> nn.Module:
        return in_pixels(self.model, self.normalization_used, self.device)

    def _rounded(self, images: Tensor, result: AttackResult) -> Tensor:
        found = result.adversarials
        return to_eight_bits(images.to(found), found, self.attack.threat)

    def _logits(self, images: Tensor) -> Tensor:
        guard = Guard(self._model(), len(images), seed=self.seed)
        with guard, full_precision(guard.device):
            return guard.logits(images.to(guard.device))

    def _classes(self, images: Tensor) -> int:
        return max(self._logits(images[:1]).shape[1], 2)  # one logit stands for two classes

    def _random(self, images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        classes = self._classes(images)
        draw = Keys(self.seed, ids, Stream.TARGETS).uniform((1,))[:, 0].double()
        return (labels + 1 + (draw * (classes - 1)).long().to(labels.device)) % classes
