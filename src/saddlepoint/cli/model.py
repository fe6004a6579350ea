"""From what a command was given to the model: weights, normalisation, and what its outputs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.assignments import model_options
from saddlepoint.cli.console import note
from saddlepoint.cli.normalisation import Facts, check_same, constants, statistics_for, told
from saddlepoint.cli.options import ModelOptions
from saddlepoint.cli.preprocessing import preprocessing_for, trained_preprocessing
from saddlepoint.configuration import configuration
from saddlepoint.errors import InputError
from saddlepoint.reading import shown

if TYPE_CHECKING:
    from torch import nn

    from saddlepoint.data import ClassMap
    from saddlepoint.defences import ModelTransform
    from saddlepoint.model import Preprocessing
    from saddlepoint.zoo import LoadReport, WeightsFile


@dataclass(frozen=True, eq=False)
class Loaded:
    """Weights that were read: the file, and the transforms and the preprocessing of the training that
    it is of; and the `views` that the model gets afterwards.
    """

    file: WeightsFile | None = None
    transforms: Sequence[ModelTransform] = ()
    preprocessing: Preprocessing | None = None
    views: Sequence[ModelTransform] = ()
    trained: Mapping[str, Any] = field(default_factory=dict)
    """The identity of what was trained."""


@dataclass(frozen=True, eq=False)
class Built:
    """A model with its weights and its normalisation, what a record says of it, and what people
    are told.
    """

    model: nn.Module
    identity: dict[str, Any]
    notes: tuple[str, ...]


def read_given(weights: Path | None, offered: Sequence[str] | None = None) -> Loaded:
    """Return the weights in a file or in the folder of a training; `offered` are files of code of
    the user whose transforms the training may have used, and names of transforms for the model as it
    is then.

    Raises `InputError` where there are no weights, or no such training.
    """
    from saddlepoint.defences import build_transform, transform_word, transforms_of
    from saddlepoint.plugins import is_file_spec
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import read_weights

    files = [each for each in offered or () if is_file_spec(each)]
    words = [transform_word(each) for each in offered or () if not is_file_spec(each)]
    named, views = [name for name, _ in words], [build_transform(*each) for each in words]
    if files and (weights is None or not weights.is_dir()):
        raise InputError("--transform goes with --weights FOLDER of a training; give the folder")
    if weights is None:
        return Loaded(views=views)
    if not weights.is_dir():
        return Loaded(read_weights(weights), views=views)
    config = _training(weights)
    transforms = transforms_of(config, files)
    used = [each.func for each in transforms if isinstance(each, partial)]
    for name, view in zip(named, views, strict=True):
        if isinstance(view, partial) and view.func in used:
            raise InputError(f"the training used {name} already; leave --transform {name} out")
    file = read_weights(weights / WEIGHTS_FILE)
    identity = config.get("identity")
    told = identity if isinstance(identity, dict) else {}
    return Loaded(file, transforms, trained_preprocessing(config), views, told)


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
    from saddlepoint.model import preprocessed
    from saddlepoint.zoo import build_model, is_generator, outputs_in

    made = is_generator(given.model)
    if made and measured:
        raise InputError(f"{given.model} makes images, and classifies none; give a classifier")
    # What makes images has none to normalise or to resize.
    statistics, remark = (None, None) if made else statistics_for(given, data, loaded.file)
    sizes = (
        None if made else preprocessing_for(given, data, loaded.preprocessing, measured=measured)
    )
    shape = data.shape if sizes is None else (data.shape[0], *sizes.size(*data.shape[1:]))

    options = model_options(given.model_option) or _trained_options(given.model, loaded.trained)

    def make(classes: int) -> nn.Module:
        model = build_model(
            given.model,
            classes=classes,
            shape=shape,
            pretrained=given.pretrained and loaded.file is None,
            seed=given.seed,
            options=options,
        )
        model = preprocessed(model, sizes, statistics)
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
    identity = _identity(given, model, report, options)
    for view in loaded.views:
        model = view(model)
    if loaded.views:
        identity["transforms"] = configuration(loaded.views)
    if sizes is not None:
        identity["preprocessing"] = sizes.json()
        notes.append(f"note: inside {given.model} images of {_sides(data.shape)} are {sizes}")
    return Built(model, identity, tuple(notes))


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(str(side) for side in shape[1:])


def _with_weights(
    model: nn.Module, given: ModelOptions, loaded: Loaded
) -> tuple[nn.Module, LoadReport]:
    from saddlepoint.model import Normalised, Preprocessed
    from saddlepoint.zoo import load_matched, match

    assert loaded.file is not None
    found = match(model.state_dict(), loaded.file, given.weights_part)
    if found.statistics is not None and given.free and not loaded.transforms:
        # Somebody else's network whose file knows what it has to be given.
        if isinstance(model, Preprocessed):
            model = Preprocessed(Normalised(model.net, *found.statistics), model.preprocessing)
        else:
            model = Normalised(model, *found.statistics)
        found = match(model.state_dict(), loaded.file, given.weights_part)
    return model, load_matched(model, found, loaded.file)


def note_random_weights(given: ModelOptions) -> None:
    """Say so where a model of ours is about to be measured untrained."""
    from saddlepoint.zoo import is_whole

    brought = given.weights is not None or given.pretrained or ".py:" in given.model
    if not brought and not is_whole(given.model):
        note("note: no --weights: this is a model with random weights")


def _outputs(given: ModelOptions, data: Facts, chosen: ClassMap | None, measured: bool) -> int:
    """Return how many outputs the model is built with."""
    from saddlepoint.zoo import is_whole, pretrained_classes

    whole = is_whole(given.model)
    own = pretrained_classes(given.model) if given.pretrained or whole or chosen else None
    if chosen is None:
        count = len(data.classes)
        if whole and own is not None and all(c == str(i) for i, c in enumerate(data.classes)):
            return max(own, count)  # numbers may be fewer; nobody says how many there are
        unlike = own not in (None, count)
        if unlike and (whole or (measured and given.pretrained and given.weights is None)):
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


def _trained_options(spec: str, trained: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options that a training had, where it is of the same model."""
    name, before = (each.removeprefix("zoo:") for each in (spec, str(trained.get("model"))))
    said = trained.get("model_options")
    return said if isinstance(said, dict) and name == before else {}


def _identity(
    given: ModelOptions, model: nn.Module, report: LoadReport | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    from saddlepoint.reading import file_digest
    from saddlepoint.training import WEIGHTS_FILE
    from saddlepoint.zoo import model_source, weights_inside

    weights = weights_inside(given.model) if given.weights is None else None
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
        **({"model_options": dict(options)} if options else {}),
        **({"output": given.output} if given.output is not None else {}),
        "weights": weights,
        "pretrained": given.pretrained,
        "normalisation": None if mean is None else {"mean": mean, "std": std},
    }
