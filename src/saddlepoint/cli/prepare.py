"""From what a command was given to its subject: a model and the images it is for.

What can be refused is refused before images are read. A named data set has its shape and its
classes in a table, so that the model is built and its weights are matched before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.console import note
from saddlepoint.cli.images import check_images, choose_device, read_data
from saddlepoint.cli.model import Built, Loaded, build, read_given
from saddlepoint.cli.normalisation import (
    Facts,
    check_normalisation,
    constants,
    statistics_for,
)
from saddlepoint.cli.options import Corruptible, Measured, Subject
from saddlepoint.cli.preprocessing import check_preprocessing, class_map_for
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saddlepoint.data import ClassMap, ImageData
    from saddlepoint.threat import Statistics


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model on its device, the data with the labels of its outputs, and what a record says of
    both.
    """

    model: nn.Module
    data: ImageData
    identity: dict[str, Any]
    device: torch.device

    @property
    def statistics(self) -> Statistics:
        """The mean and standard deviation that the model divides by, or the data's where it has none."""
        return constants(self.model) or (self.data.mean, self.data.std)


@dataclass(frozen=True)
class Place:
    """The folder that a run is about to claim: of which kind, with which files."""

    out: Path
    kind: str
    files: Sequence[str] = ()


Check = Callable[["Statistics", "tuple[int, ...] | None"], object]
"""Refuses a command's other options, given the normalisation and the images' shape, if known."""


def prepare(
    given: Subject,
    *,
    split: str = "test",
    measured: bool = True,
    check: Check | None = None,
    place: Place | None = None,
) -> Prepared:
    """Return the model and the images that the options name, on their device.

    Args:
        split: of the images, for options that have none.
        measured: the model must know the data's classes; one that is trained is given them.
        check: called before images are read, with stand-ins for what is not known yet.
        place: a folder that must not be another run's.

    Raises `InputError` for whatever cannot be used.
    """
    from saddlepoint.data import corrupted
    from saddlepoint.data.corruptions import check_shape, parse_corruption
    from saddlepoint.run_folders import check_free
    from saddlepoint.zoo import check_spec

    device = choose_device(given.device, given.threads)
    wanted, mapping, offered = split, None, None
    if isinstance(given, Measured):
        wanted, mapping, offered = given.split, given.classes, given.transform
    check_images(given, wanted)
    text = given.corruption if isinstance(given, Corruptible) else None
    corruption = None if text is None else parse_corruption(text)
    check_normalisation(given)
    check_preprocessing(given)
    _check_no_text(given.model)
    check_spec(given.model, pretrained=given.pretrained and given.weights is None)
    loaded = read_given(given.weights, offered)
    facts, draft, chosen = _foreseen(given), None, None
    if corruption is not None and facts is not None:
        check_shape(facts.shape)

    def mapped(data: Facts) -> ClassMap | None:
        return class_map_for(given, mapping, data)

    if facts is not None:
        chosen = mapped(facts)
        draft = build(given, facts, loaded, chosen, measured=measured)
    if place is not None:
        known: dict[str, Any] = {"seed": given.seed}
        if draft is not None:
            # Not the normalisation, which may be a stand-in.
            told = {key: draft.identity[key] for key in ("model", "weights", "pretrained")}
            known["identity"] = told
        check_free(place.out, place.kind, place.files, known)
    if check is not None:
        own = None if draft is None else constants(draft.model)
        unread = ((0.5,), (0.25,)) if facts is None else (facts.mean, facts.std)
        check(own or unread, None if facts is None else facts.shape)
    images = read_data(given, wanted, device)
    if draft is None or not _as_foreseen(given, facts, images, loaded):
        chosen = mapped(images)
        draft = build(given, images, loaded, chosen, measured=measured)
    prepared = _placed(given, draft, images, device, chosen, measured)
    if corruption is None:
        return prepared
    # Last: the model is built, and its normalisation looked for, by the images as they are.
    return replace(prepared, data=corrupted(prepared.data, *corruption, given.seed))


def _check_no_text(model: str) -> None:
    """Raise `InputError` for a network of texts, which are attacked in the space embedding alone."""
    from saddlepoint.text.registry import TEXT_MODELS

    if model in TEXT_MODELS:
        raise InputError(
            f"{model} is of texts; `attack` and `evaluate` take it with --space embedding, and"
            " `translate` a Transformer"
        )


def fresh_model(given: Subject, data: ImageData, device: torch.device, seed: int) -> nn.Module:
    """Return the named model without weights, as it begins at a seed, on the device."""
    from saddlepoint.zoo import is_whole

    if is_whole(given.model):
        raise InputError(f"{given.model} is trained already; give a model that is not")
    unweighted = replace(given, weights=None, seed=seed)
    return build(unweighted, data, Loaded(), measured=False).model.to(device)


def build_surrogate(
    given: Subject, name: str, weights: Path, subject: Prepared, what: str = "the surrogate"
) -> nn.Module:
    """Return a model that stands beside the subject, on its images and its device: one that is
    attacked in its place, or tells the classes of its samples.

    Its file's normalisation is taken without a word, whatever the subject's is.
    """
    from saddlepoint.evaluation import check_outputs

    own = replace(given, model=name, weights=weights, weights_part=None, pretrained=False)
    if name != given.model:
        own = replace(own, model_option=None)
    loaded = read_given(weights)
    if loaded.file is not None and loaded.file.said is not None:
        own = replace(own, normalisation="auto", mean=None, std=None)
    built = build(own, subject.data, loaded)
    surrogate = _placed(own, built, subject.data, subject.device, None, True)
    check_outputs(surrogate.model, subject.data, what=what)
    return surrogate.model


def read_teacher(given: Subject, weights: Path, student: Prepared) -> nn.Module:
    """Return a trained network of the student's architecture, from the weights of one.

    Raises `InputError` for weights of another architecture, or of other classes.
    """
    own = replace(given, weights=weights, weights_part=None, pretrained=False)
    return _placed(
        own,
        build(own, student.data, read_given(weights)),
        student.data,
        student.device,
        None,
        False,
    ).model


def _placed(
    given: Subject,
    built: Built,
    data: ImageData,
    device: torch.device,
    chosen: ClassMap | None,
    measured: bool,
) -> Prepared:
    from saddlepoint.cli.missing_normalisation import look_for_normalisation
    from saddlepoint.model import reading

    for line in built.notes:
        note(line)
    model = reading(built.model.to(device), given.output)
    if chosen is not None:
        data = chosen.applied(data, _counted(model, data, device))
    bare = constants(model) is None and len(data.shape) == 3
    if measured and ".py:" in given.model and given.free and bare:
        look_for_normalisation(given.model, model, data, device)
    return Prepared(model, data, built.identity, device)


def _foreseen(given: Subject) -> Facts | None:
    """Return what is known of a named data set before it is read; None of a file or folder."""
    from saddlepoint.data import DATASETS

    info = DATASETS.get(given.data)
    if info is None:
        return None
    channels, *sides = info.shape
    if given.image_size is not None:
        sides = [given.image_size] * 2
    return _Table(
        info.name,
        (channels, *sides),
        info.classes,
        info.mean or (0.5,) * channels,
        info.std or (0.25,) * channels,
    )


@dataclass(frozen=True)
class _Table:
    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _as_foreseen(given: Subject, facts: Facts | None, data: ImageData, loaded: Loaded) -> bool:
    """Whether a model that was built for what was foreseen is the one for the data."""
    if facts is None or (facts.shape, facts.classes) != (data.shape, data.classes):
        return False
    before, now = (statistics_for(given, each, loaded.file)[0] for each in (facts, data))
    return before == now


def _counted(model: nn.Module, data: ImageData, device: torch.device) -> int:
    import torch

    from saddlepoint.model import Guard, full_precision

    image = data.images(torch.arange(1)).to(device)
    with Guard(model, 1) as guard, full_precision(guard.device):
        return int(guard.logits(image).shape[1])
