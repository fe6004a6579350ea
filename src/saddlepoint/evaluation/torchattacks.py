"""Our attacks behind torchattacks' calls, for scripts that exist already."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saddlepoint.attacks import Attack, AttackResult
from saddlepoint.checks import as_pixels, check_labels, tensor_of
from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.evaluation.export import to_eight_bits
from saddlepoint.evaluation.torchattacks_files import read_saved, write_saved
from saddlepoint.evaluation.unsupported import SETTABLE, TORCHATTACKS, UnsupportedError
from saddlepoint.model import Guard, Normalised, device_of, full_precision
from saddlepoint.streams import Keys, Stream

_Targets = Callable[[Tensor, Tensor], Tensor]
_COLUMNS = ("adv_inputs", "labels")  # of every saved file


class TorchattacksStyle:
    """An attack called as torchattacks calls its own: `atk(images, labels)`.

    Args:
        attack: any attack of ours.
        model: from images in [0, 1] to logits; after `set_normalization_used` from normalised
            images.
        seed: of every random draw.
        log: where the lines of `save` go, for instance `print`; None is the log of this module.

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
        Guard(model, 0)  # refuses what is no module
        self.attack = attack
        self.model = model
        self.seed = seed
        self.attack_mode = "default"
        self.return_type = "float"
        self.normalization_used: dict[str, Tensor] | None = None
        self._target_of: _Targets | None = None
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
        images, labels = self._pixels(inputs), tensor_of(labels, "labels")
        check_labels(labels, len(images))
        model, targets = self._model(), None
        if self._target_of is not None:
            targets = tensor_of(self._target_of(inputs, labels), "targets").to(labels.device)
            classes = self._logits(images[:1]).shape[1]
            # Given as targets, the labels say nothing of the true classes; any other class will do.
            labels = torch.where(targets == labels, (labels + 1) % classes, labels)
        self.result = self.attack(model, images, labels, targets, seed=self.seed)
        found = self.result.adversarials
        if self.return_type == "int":
            return self._bytes(images.to(found), found)
        return found if self.normalization_used is None else self.normalize(found)

    def set_mode_default(self) -> None:
        """Attack away from the labels."""
        self.attack_mode, self._target_of = "default", None

    def set_mode_targeted_by_label(self, quiet: bool = False) -> None:
        """Take the labels of a call as targets."""
        self.attack_mode, self._target_of = "targeted(label)", lambda images, labels: labels

    def set_mode_targeted_by_function(
        self, target_map_function: _Targets, quiet: bool = False
    ) -> None:
        """Take `target_map_function(images, labels)` as targets."""
        if not callable(target_map_function):
            raise InputError("target_map_function must be a function of images and labels")
        self.attack_mode, self._target_of = "targeted(custom)", target_map_function

    def set_mode_targeted_random(self, quiet: bool = False) -> None:
        """Take for each image another class than its label, drawn by the seed and its row."""
        self.attack_mode, self._target_of = "targeted(random)", self._random

    def set_mode_targeted_least_likely(self, kth_min: int = 1, quiet: bool = False) -> None:
        """Take the other class of the k-th smallest logit as each image's target."""
        check_count("kth_min", kth_min)

        def target(inputs: Tensor, labels: Tensor) -> Tensor:
            logits = self._logits(self._pixels(inputs))
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
        Guard(model, 0)
        self.model = model

    def set_device(self, device: torch.device | str) -> None:
        """Accept the model's device; raises `InputError` for another: move the model."""
        if torch.device(device).type != self.device.type:
            raise InputError(f"the model is on {self.device}; move it to {device} instead")

    def set_normalization_used(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take and return images that are normalised by these constants, as the model takes them;
        budgets stay in pixels.
        """
        inside = Normalised(nn.Identity(), mean, std)
        self.normalization_used = {"mean": inside.mean[None], "std": inside.std[None]}

    def normalize(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return images in [0, 1] as the model takes them."""
        mean, std = self._constants(inputs)
        return (inputs - mean) / std

    def inverse_normalize(self, inputs: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return images that the model takes in [0, 1]."""
        mean, std = self._constants(inputs)
        return inputs * std + mean

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
        asked for, as `load` and torchattacks read them.

        Returns, with `return_verbose`, the robust accuracy in per cent, the mean L2 distance of the
        fooling images in pixels, and the seconds.
        """
        if save_type not in ("float", "int"):
            raise InputError(f"save_type is {save_type!r}; give float or int")
        began, kept, far = time.perf_counter(), [], []
        right = total = 0
        for inputs, labels in data_loader:
            given = tensor_of(labels, "labels")
            adv_inputs, images = self(inputs, given), self._pixels(inputs)
            result = self.result
            assert result is not None, "just attacked"
            clean, found = images.to(result.adversarials), result.adversarials
            standing = result.predictions == given.to(result.predictions.device)
            right, total = right + int(standing.sum()), total + len(given)
            far.append((found - clean).double().flatten(1).norm(dim=1)[~standing].cpu())
            columns = {"adv_inputs": adv_inputs, "labels": given, "preds": result.predictions}
            columns["clean_inputs"] = tensor_of(inputs, "images")
            if save_type == "int":
                columns["adv_inputs"] = self._bytes(clean, found)
                columns["clean_inputs"] = (clean * 255).round().to(torch.uint8)
            kept.append({name: value.detach().cpu() for name, value in columns.items()})
        if not total:
            raise InputError("the loader is empty; give at least one image")
        told = 100 * right / total, float(torch.cat(far).mean()), time.perf_counter() - began
        if save_path is not None:
            names = [
                *_COLUMNS,
                *["preds"] * save_predictions,
                *["clean_inputs"] * save_clean_inputs,
            ]
            write_saved(save_path, kept, names, save_type)
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
        super().__setattr__(name, value)

    def _pixels(self, inputs: Tensor) -> Tensor:
        images = as_pixels(tensor_of(inputs, "images"))
        return images if self.normalization_used is None else self.inverse_normalize(images)

    def _model(self) -> nn.Module:
        used = self.normalization_used
        if used is None:
            return self.model
        constants = (used[name].flatten().tolist() for name in ("mean", "std"))
        return Normalised(self.model, *constants).to(self.device)

    def _constants(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.normalization_used is None:
            raise InputError("no normalisation is used; call set_normalization_used first")
        mean, std = (self.normalization_used[name].to(inputs.device) for name in ("mean", "std"))
        return mean, std

    def _bytes(self, images: Tensor, found: Tensor) -> Tensor:
        return (to_eight_bits(images, found, self.attack.threat) * 255).round().to(torch.uint8)

    def _logits(self, images: Tensor) -> Tensor:
        with (
            Guard(self._model(), len(images), seed=self.seed) as guard,
            full_precision(guard.device),
        ):
            return guard.logits(images.to(guard.device))

    def _random(self, inputs: Tensor, labels: Tensor) -> Tensor:
        classes = self._logits(self._pixels(inputs[:1])).shape[1]
        rows = torch.arange(len(labels))
        draw = Keys(self.seed, rows, Stream.TARGETS).uniform((1,))[:, 0].double()
        return (labels + 1 + (draw * (classes - 1)).long().to(labels.device)) % classes
