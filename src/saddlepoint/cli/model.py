"""From what a command was given to the model: weights, normalisation, and what its outputs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.console import note
from saddlepoint.cli.normalisation import Facts, check_same, constants, statistics_for, told
from saddlepoint.cli.options import ModelOptions
from saddlepoint.errors import InputError
from saddlepoint.reading import shown

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.data import ClassMap
    from saddlepoint.defences import ModelTransform
    from saddlepoint.zoo import LoadReport, WeightsFile


@dataclass(frozen=True, eq=False)
class Loaded:
    """Weights that were read: the file, and the transforms of the training that it is of."""

    file: WeightsFile | None = None
    transforms: Sequence[ModelTransform] = ()


@dataclass(frozen=True, eq=False)
class Built:
    """A model with its weights and its normalisation, what a record says of it, and what people
    are told.
    """

    model: nn.Module
    identity: dict[str, Any]
    notes: tuple[str, ...]


def read_given(weights: Path | None) -> Loaded:
    """Return the weights in a file or in the folder of a training; raises `InputError` where there
    are none.
    """
    from saddlepoint.defences import transforms_of
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import read_weights

    if weights is None:
        return Loaded()
    if not weights.is_dir():
        return Loaded(read_weights(weights))
    transforms = transforms_of(_training(weights))
    return Loaded(read_weights(weights / WEIGHTS_FILE), transforms)


def build(
    given: ModelOptions,
    data: Facts,
    loaded: Loaded,
    chosen: ClassMap | None = None,
    *,
    measured: bool = True,
) -> Built:
    """Return the named model for the data, with its normalisation and its weights, on the CPU.

    A model that is `measured` as it is must know the data's classes; one that is trained is given
    them.
    """
    from saddlepoint.model import Normalised
    from saddlepoint.zoo import build_model, outputs_in

    statistics, remark = statistics_for(given, data, loaded.file)

    def make(classes: int) -> nn.Module:
        model = build_model(
            given.model,
            classes=classes,
            shape=data.shape,
            pretrained=given.pretrained and loaded.file is None,
            seed=given.seed,
        )
        if statistics is not None:
            model = Normalised(model, *statistics)
        for transform in loaded.transforms:
            model = transform(model)
        return model

    count = _outputs(given, data, chosen, measured)
    if chosen is not None and chosen.names is None and loaded.file is not None:
        count = outputs_in(loaded.file, make, count)
    model, report, notes = make(count), None, [remark] if remark else []
    if loaded.file is not None and given.weights is not None:
        model, report = _with_weights(model, given, loaded)
        name = shown(given.weights.name)
        notes += [f"note: {name}: {each}" for each in report.notes]
        own = constants(model)
        if report.normalisation == "module" and given.free and statistics is not None:
            notes.append(
                f"note: {name} holds no normalisation; using {told(statistics)},"
                " change it with --normalisation, or --mean and --std"
            )
        if report.normalisation == "file" and not given.free:
            check_same(given.weights, statistics, own)
        if report.normalisation == "file" and loaded.file.said is None and own is not None:
            notes.append(f"note: {name} brings its normalisation, {told(own)}")
    identity = _identity(given, model, report)
    return Built(_read(model, given.output), identity, tuple(notes))


def _read(model: nn.Module, output: str | None) -> nn.Module:
    """Return the model that gives one of its outputs, behind its normalisation."""
    from saddlepoint.model import Normalised, ReadOutput

    if output is None:
        return model
    if isinstance(model, Normalised):
        model.net = ReadOutput(model.net, output)
        return model
    return ReadOutput(model, output)


def _with_weights(
    model: nn.Module, given: ModelOptions, loaded: Loaded
) -> tuple[nn.Module, LoadReport]:
    from saddlepoint.model import Normalised
    from saddlepoint.zoo import load_matched, match

    assert loaded.file is not None
    found = match(model.state_dict(), loaded.file, given.weights_part)
    if found.statistics is not None and given.free and not loaded.transforms:
        # Somebody else's network whose file knows what it has to be given.
        model = Normalised(model, *found.statistics)
        found = match(model.state_dict(), loaded.file, given.weights_part)
    return model, load_matched(model, found, loaded.file)


def note_random_weights(given: ModelOptions) -> None:
    """Say so where a model of ours is about to be measured untrained."""
    if given.weights is None and not given.pretrained and ".py:" not in given.model:
        note("note: no --weights: this is a model with random weights")


def _outputs(given: ModelOptions, data: Facts, chosen: ClassMap | None, measured: bool) -> int:
    """Return how many outputs the model is built with."""
    from saddlepoint.zoo import pretrained_classes

    own = pretrained_classes(given.model) if given.pretrained or chosen is not None else None
    if chosen is None:
        count = len(data.classes)
        if measured and given.pretrained and given.weights is None and own not in (None, count):
            raise InputError(
                f"{given.model} was trained for {own:,} classes, {data.name} has {count}"
                f" ({', '.join(data.classes[:3])}{', …' if count > 3 else ''}); say which outputs"
                " they are with --classes FILE"
            )
        return count
    if chosen.names is not None:
        return len(chosen.names)
    return max(own or 0, max(chosen.outputs) + 1, 2)


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


def _identity(given: ModelOptions, model: nn.Module, report: LoadReport | None) -> dict[str, Any]:
    from saddlepoint.reading import file_digest
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import model_source

    weights: dict[str, Any] | None = None
    if given.weights is not None:
        path = given.weights
        file = path / WEIGHTS_FILE if path.is_dir() else path
        weights = {"file": shown(path), "fingerprint": file_digest(file)}
        if given.weights_part is not None:
            weights["part"] = given.weights_part
        if report is not None and report.renamed:
            weights["matched"] = "by shape and order"
    mean, std = constants(model) or (None, None)
    source = model_source(given.model)
    return {
        "model": given.model,
        **({"model_source": source} if source else {}),
        **({} if given.output is None else {"output": given.output}),
        "weights": weights,
        "pretrained": given.pretrained,
        "normalisation": None if mean is None else {"mean": mean, "std": std},
    }
