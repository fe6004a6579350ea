"""From what a command was given to the model: weights, normalisation, and what its outputs are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.console import note
from saddlepoint.cli.options import ModelOptions
from saddlepoint.errors import InputError, unknown
from saddlepoint.reading import shown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saddlepoint.data import ClassMap, ImageData
    from saddlepoint.defences import ModelTransform
    from saddlepoint.threat import Statistics


@dataclass(frozen=True)
class ModelChoice:
    """A model by name, what it gets, and the file that says what its outputs are."""

    spec: str
    given: ModelOptions
    classes: Path | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model, the data with the labels of its outputs, and what a record says of both."""

    model: nn.Module
    data: ImageData
    identity: dict[str, Any]

    @property
    def statistics(self) -> Statistics:
        """The mean and standard deviation that the model divides by, or the data's where it has none."""
        return _constants(self.model) or (self.data.mean, self.data.std)


def prepare_model(
    choice: ModelChoice, data: ImageData, device: torch.device, *, measured: bool = True
) -> Prepared:
    """Return the named model for the data, with its normalisation and its weights, on the device.

    A model that is `measured` as it is must know the data's classes; one that is trained is given
    them.
    """
    from saddlepoint.data import read_class_map
    from saddlepoint.model import Normalised
    from saddlepoint.zoo import build_model, load_weights, outputs_in

    given = choice.given
    chosen = None if choice.classes is None else read_class_map(choice.classes, data.classes)
    statistics = _statistics(choice, data)
    transforms, file = _of_weights(given.weights)

    def build(classes: int) -> nn.Module:
        model = build_model(
            choice.spec,
            classes=classes,
            shape=data.shape,
            pretrained=given.pretrained,
            seed=given.seed,
        )
        if statistics is not None:
            model = Normalised(model, *statistics)
        for transform in transforms:
            model = transform(model)
        return model

    count = _outputs(choice, data, chosen, measured)
    if chosen is not None and chosen.names is None and file is not None:
        count = outputs_in(file, build, count)
    model = build(count)
    if given.weights is not None and file is not None:
        report = load_weights(model, file)
        if report.normalisation == "module" and given.free:
            assert statistics is not None
            note(
                f"note: {shown(given.weights.name)} holds no normalisation; using {_told(statistics)},"
                " change it with --normalisation, or --mean and --std"
            )
        if report.normalisation == "file" and not given.free:
            _check_same(given.weights, statistics, _constants(model))
    model = model.to(device)
    if chosen is not None:
        data = chosen.applied(data, _counted(model, data, device))
    prepared = Prepared(model, data, _identity(choice, model))
    if measured and ".py:" in choice.spec and given.free and len(data.shape) == 3:
        from saddlepoint.cli.look import look_for_normalisation

        look_for_normalisation(choice.spec, model, data, device)
    return prepared


def build_surrogate(choice: ModelChoice, data: ImageData, device: torch.device) -> nn.Module:
    """Return a model that is attacked in another's place, on data that has the labels already.

    Its file's normalisation is taken without a word, whatever the other's is.
    """
    from saddlepoint.evaluation import check_outputs

    given = choice.given
    if given.weights is not None and _file_normalisation(given.weights) is not None:
        given = replace(given, normalisation="auto", mean=None, std=None)
    surrogate = prepare_model(ModelChoice(choice.spec, given), data, device)
    check_outputs(surrogate.model, data, what="the surrogate")
    return surrogate.model


def note_random_weights(choice: ModelChoice) -> None:
    """Say so where a model of ours is about to be measured untrained."""
    if choice.given.weights is None and not choice.given.pretrained and ".py:" not in choice.spec:
        note("note: no --weights: this is a model with random weights")


def _outputs(choice: ModelChoice, data: ImageData, chosen: ClassMap | None, measured: bool) -> int:
    """Return how many outputs the model is built with."""
    from saddlepoint.zoo import pretrained_classes

    given = choice.given
    own = pretrained_classes(choice.spec) if given.pretrained or chosen is not None else None
    if chosen is None:
        count = len(data.classes)
        if measured and given.pretrained and given.weights is None and own not in (None, count):
            raise InputError(
                f"{choice.spec} was trained for {own:,} classes, {data.name} has {count}"
                f" ({', '.join(data.classes[:3])}{', …' if count > 3 else ''}); say which outputs"
                " they are with --classes FILE"
            )
        return count
    if chosen.names is not None:
        return len(chosen.names)
    return max(own or 0, max(chosen.outputs) + 1, 2)


def _counted(model: nn.Module, data: ImageData, device: torch.device) -> int:
    import torch

    from saddlepoint.model import Guard, full_precision

    image = data.images(torch.arange(1)).to(device)
    with Guard(model, 1) as guard, full_precision(guard.device):
        return int(guard.logits(image).shape[1])


def _of_weights(weights: Path | None) -> tuple[Sequence[ModelTransform], Path | None]:
    """Return the transforms of the run in a folder, none of a file, and the file of weights."""
    from saddlepoint.defences import transforms_of
    from saddlepoint.training import WEIGHTS_FILE

    if weights is None or not weights.is_dir():
        return (), weights
    return transforms_of(_training(weights)), weights / WEIGHTS_FILE


def _training(folder: Path) -> dict[str, Any]:
    """Return the configuration of the training in a folder."""
    from saddlepoint.reading import read_json
    from saddlepoint.run_folders import RUN_FILE

    if not (folder / RUN_FILE).exists():
        raise InputError(
            f"{shown(folder)} is a folder; give the file of weights in it, or the folder of a"
            " training"
        )
    run = read_json(folder / RUN_FILE)
    kind = run.get("kind") if isinstance(run, dict) else None
    if kind != "train" or not isinstance(run.get("config"), dict):
        raise InputError(f"{shown(folder)} is not the folder of a training; give one, or a file")
    config: dict[str, Any] = run["config"]
    return config


def _file_normalisation(weights: Path) -> str | None:
    """Return what weights of ours say of the normalisation, `inside` or `none`; else None."""
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import normalisation_of

    return normalisation_of(weights / WEIGHTS_FILE if weights.is_dir() else weights)


def _identity(choice: ModelChoice, model: nn.Module) -> dict[str, Any]:
    from saddlepoint.reading import file_digest
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import model_source

    constants = _constants(model)
    weights, path = None, choice.given.weights
    if path is not None:
        file = path / WEIGHTS_FILE if path.is_dir() else path
        weights = {"file": shown(path), "fingerprint": file_digest(file)}
    mean, std = (None, None) if constants is None else constants
    source = model_source(choice.spec)
    return {
        "model": choice.spec,
        **({"model_source": source} if source else {}),
        "weights": weights,
        "pretrained": choice.given.pretrained,
        "normalisation": None if mean is None else {"mean": mean, "std": std},
    }


def _constants(model: nn.Module) -> Statistics | None:
    from saddlepoint.model import Normalised

    if not isinstance(model, Normalised):
        return None
    return tuple(model.mean.flatten().tolist()), tuple(model.std.flatten().tolist())


def _check_same(weights: Path, asked: Statistics | None, own: Statistics | None) -> None:
    if asked is None or own is None:
        return
    pairs = zip((*asked[0], *asked[1]), (*own[0], *own[1]), strict=True)
    if any(not math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in pairs):
        raise InputError(
            f"{shown(weights)} was trained with {_told(own)}, and {_told(asked)} was asked for;\n"
            "leave --normalisation, --mean and --std out"
        )


def _told(statistics: Statistics) -> str:
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in statistics)
    return f"mean ({mean}) and std ({std})"


def _statistics(choice: ModelChoice, data: ImageData) -> Statistics | None:
    from saddlepoint.data import IMAGENET
    from saddlepoint.zoo import default_normalisation

    given, kind = choice.given, choice.given.normalisation
    if kind not in ("auto", "data", "imagenet", "none"):
        raise unknown("normalisation", kind, ("auto", "data", "imagenet", "none"))
    if given.mean is not None or given.std is not None:
        return _numbers_given(given, data)
    if kind == "none" or len(data.shape) != 3:
        return None
    if kind == "imagenet":
        if data.shape[0] != 3:
            raise InputError(
                f"imagenet normalisation is for 3 channels; the images have {data.shape[0]}"
            )
        return IMAGENET
    if kind == "auto":
        if ".py:" in choice.spec:
            return None
        if given.weights is not None and _file_normalisation(given.weights) == "none":
            note(
                f"note: {shown(given.weights.name)} was trained without normalisation; none is used"
            )
            return None
        own = default_normalisation(choice.spec) if given.pretrained else None
        if own is not None and len(own[0]) == data.shape[0]:
            return own
    return data.mean, data.std


def _numbers_given(given: ModelOptions, data: ImageData) -> Statistics:
    from saddlepoint.model.normalised import LEAST_STD

    if given.mean is None or given.std is None:
        raise InputError("one of --mean and --std is given without the other; give both")
    if given.normalisation != "auto":
        raise InputError("--normalisation and --mean exclude each other; give one")
    if len(data.shape) != 3:
        raise InputError(f"the images are vectors {data.shape}; --mean and --std are per channel")
    mean = _numbers("mean", given.mean, data.shape[0])
    std = _numbers("std", given.std, data.shape[0])
    if not all(0 <= v <= 1 for v in mean) or not all(LEAST_STD <= v <= 1 for v in std):
        raise InputError(
            f"--mean {shown(given.mean)} and --std {shown(given.std)}: give them on the"
            f" scale 0 … 1 (divide by 255), and --std at least {LEAST_STD:.3g}, which float32 can divide by"
        )
    return mean, std


def _numbers(name: str, text: str, channels: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"--{name} {shown(text)}: give numbers such as 0.49,0.48,0.45") from None
    if len(values) != channels:
        raise InputError(
            f"--{name} {shown(text)}: {len(values)} numbers for images of {channels} channels"
        )
    return values
