"""From a specification to the images and the models that a cell works on."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from saddlepoint.data import IMAGENET, FolderData, ImageData, TensorData, load_data
from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError, unknown
from saddlepoint.files import fingerprint
from saddlepoint.model import Normalised
from saddlepoint.plugins import file_source, is_file_spec
from saddlepoint.reading import expanded, read_bytes
from saddlepoint.studies.spec import DataSpec, StudyDevice, StudySpec
from saddlepoint.threat import Statistics
from saddlepoint.training import WEIGHTS_FILE
from saddlepoint.zoo import build_model, is_whole, load_weights, model_source

_LARGEST = 1 << 26  # bytes of a model's file


@functools.lru_cache(maxsize=4)  # a worker has many cells of the same data
def study_data(spec: DataSpec, split: str, root: Path | str | None) -> TensorData | FolderData:
    """Return the images of a split of the study's data.

    >>> len(study_data(DataSpec(name="digits", test_limit=20), "test", None))
    20
    """
    limit = spec.train_limit if split == "train" else spec.test_limit
    data = load_data(
        spec.name, split=split, data_root=root, limit=limit, image_size=spec.image_size
    )
    if data.split == "all":
        raise InputError(f"{spec.name} has no {split} images apart; a study needs both splits")
    return data


def training_data(
    spec: StudySpec, variant: str, data: TensorData | FolderData
) -> TensorData | FolderData:
    """Return the images that a variant is trained on, of the study's training images.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {all: [], few: {train_limit: 20}}}")
    >>> digits = study_data(spec.data, "train", None)
    >>> [len(training_data(spec, variant, digits)) for variant in spec.variants]
    [1442, 20]
    """
    limit = spec.train_limit_of(variant)
    return data if limit is None else data.first(limit)


def placed(spec: StudySpec, data: TensorData | FolderData) -> TensorData | FolderData:
    """Return the images on the study's device, unless they are read from files.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> placed(spec, study_data(spec.data, "test", None)).shape
    (1, 8, 8)
    """
    return data.to(spec.device) if isinstance(data, TensorData) else data


def check_device(spec: StudySpec) -> None:
    """Raise `InputError` where this machine has no device of the study's kind.

    >>> from saddlepoint.studies import parse_study
    >>> check_device(parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}"))
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise InputError("the study is for cuda, and torch finds no CUDA device; set device: cpu")


def on_device(spec: StudySpec, device: str) -> StudySpec:
    """Return the study for another device; raises `InputError` for one that there is not.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> on_device(spec, "gpu")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown device 'gpu'; did you mean 'cpu'? (known: cpu, cuda)
    """
    if device not in get_args(StudyDevice):
        raise unknown("device", device, get_args(StudyDevice))
    return spec.model_copy(update={"device": device})


@dataclass(frozen=True)
class DataFacts:
    """What a model must know of its images.

    >>> DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,)).shape
    (1, 8, 8)
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, data: ImageData) -> DataFacts:
        """Return the facts of a data set."""
        return cls(data.shape, data.classes, data.mean, data.std)


def normalisation_of(spec: StudySpec, data: DataFacts) -> Statistics:
    """Return the mean and the standard deviation of the study's normalisation; (0, 1) for none.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, normalisation: none, eps: [0.1], "
    ...     "attacks: {pgd: {name: pgd}}, variants: {original: []}}")
    >>> normalisation_of(spec, DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,)))
    ((0.0,), (1.0,))
    """
    channels = data.shape[0]
    if spec.normalisation == "none":
        return (0.0,) * channels, (1.0,) * channels
    if spec.normalisation == "imagenet":
        if channels != 3:
            raise InputError(
                f"imagenet normalisation is for 3 channels; the images have {channels}"
            )
        return IMAGENET
    return data.mean, data.std


def model_identity(spec: StudySpec, variant: str) -> dict[str, Any]:
    """Return what of a variant's model an address is of: of the user's file what it holds, of a package's
    its version.

    Raises `InputError` where the file cannot be read.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: [], deep: {model: resnet20}}}")
    >>> model_identity(spec, "original"), model_identity(spec, "deep")
    ({'name': 'zoo:simple-cnn'}, {'name': 'resnet20'})
    """
    model = spec.model_of(variant)
    name = str(model["name"])
    file, colon, builder = name.partition(".py:")
    if not colon:
        source = model_source(name)
        return {**model, **({"plugin": source} if source else {})}
    try:
        content = read_bytes(Path(f"{file}.py"), _LARGEST)
    except InputError as error:
        message = str(error).replace("cannot read ", "cannot read the model's file ", 1)
        raise InputError(message) from error
    return {**model, "name": builder, "file": fingerprint(content)}


def with_absolute_files(spec: StudySpec) -> StudySpec:
    """Return the study with the paths of its files of code absolute, and its recipe in place of the
    recipe's file: others read it elsewhere.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> with_absolute_files(spec) == spec
    True
    """
    changed: dict[str, Any] = {
        key: _absolute(getattr(spec, key)) for key in ("model", "attacks", "parts", "variants")
    }
    if not isinstance(spec.recipe, str) or Path(spec.recipe).suffix in (".yaml", ".yml"):
        changed["recipe"] = _absolute(spec.shared())
    return spec.model_copy(update=changed)


def _absolute(value: Any) -> Any:
    """Return the value with every `FILE.py:NAME` in it absolute."""
    if isinstance(value, Mapping):
        return {key: _absolute(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(each) for each in value]
    if isinstance(value, str) and ".py:" in value:
        file, _, name = value.rpartition(":")
        return f"{expanded(file).resolve()}:{name}"
    return value


def check_code(spec: StudySpec, variant: str, training: Mapping[str, Any]) -> None:
    """Raise `InputError` where a file of code that a variant's model needs is not what the training
    of a record was with; none is run before.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> check_code(spec, "original", {"config": {"model": model_identity(spec, "original"), "recipe": {}}})
    """
    same = model_identity(spec, variant) == training["config"]["model"]
    changed = [] if same else [spec.model_of(variant)["name"]]
    recipe, known = spec.recipe_of(variant), json.dumps(training["config"]["recipe"])
    parts = [recipe["objective"], *recipe["transforms"], *recipe["penalties"]]
    names = [str(part["name"]) for part in parts]
    changed += [n for n in names if is_file_spec(n) and file_source(n) not in known]
    if changed:
        raise InputError(
            f"the file of {changed[0]} has changed since the training; restore it, or run the study"
            " again"
        )


def check_models(spec: StudySpec, data: DataFacts) -> None:
    """Build the model of every variant once; raise `InputError` for one that cannot be.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {q: {transforms: [{name: quantise, weight_bits: 99}]}}}")
    >>> check_models(spec, DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,)))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the variant q: weight_bits is 99; ...
    """
    for variant in spec.variants:
        try:
            variant_model(spec, data, variant, spec.seeds[0], spec.eps[0])
        except InputError as error:
            raise InputError(f"the variant {variant}: {error}") from error


def study_model(spec: StudySpec, data: DataFacts, variant: str, seed: int) -> nn.Module:
    """Return the untrained model of a variant and a seed, with its normalisation.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, model: {name: zoo:simple-cnn, widths: [4, 8]}, "
    ...     "eps: [0.1], attacks: {pgd: {name: pgd}}, variants: {original: []}}")
    >>> model = study_model(spec, DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,)), "original", 0)
    >>> model.net.blocks.block2.conv.out_channels
    8
    """
    model = spec.model_of(variant)
    options: dict[str, Any] = {k: v for k, v in model.items() if k != "name"}
    name, classes = str(model["name"]), len(data.classes)
    if is_whole(name):
        raise InputError(
            f"{name} is trained already; a study trains its models: give one that is not"
        )
    net = build_model(name, classes=classes, shape=data.shape, seed=seed, options=options)
    if spec.normalisation == "none":
        return net
    return Normalised(net, *normalisation_of(spec, data))


def variant_model(
    spec: StudySpec, data: DataFacts, variant: str, seed: int, eps: float
) -> tuple[Recipe, nn.Module]:
    """Return the recipe of a variant at a budget, and the untrained model that it begins with.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, recipe: {epochs: 3}, eps: [0.1], "
    ...     "attacks: {pgd: {name: pgd}}, variants: {original: []}}")
    >>> facts = DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,))
    >>> variant_model(spec, facts, "original", 0, 0.1)[0].epochs
    3
    """
    recipe = spec.recipe_at(variant, eps, normalisation_of(spec, data))
    return recipe, recipe.prepare(study_model(spec, data, variant, seed))


def trained_model(
    spec: StudySpec, data: DataFacts, folder: Path, variant: str, seed: int, eps: float
) -> nn.Module:
    """Return the model of a finished training, from the folder of its cell, in eval mode.

    Raises `InputError` where the folder holds no such weights.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> facts = DataFacts((1, 8, 8), ("0", "1"), (0.5,), (0.25,))
    >>> trained_model(spec, facts, Path("no-such-folder"), "original", 0, 0.1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: ... no-such-folder/model.safetensors...
    """
    _, model = variant_model(spec, data, variant, seed, eps)
    load_weights(model, folder / WEIGHTS_FILE)
    return model.eval()
