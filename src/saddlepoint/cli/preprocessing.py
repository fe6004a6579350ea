"""How images are made the size that a model takes, and which of its outputs are their classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli import complete
from saddlepoint.cli.normalisation import Facts
from saddlepoint.cli.options import ModelOptions
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    from saddlepoint.data import ClassMap
    from saddlepoint.model import Preprocessing


def check_preprocessing(given: ModelOptions) -> None:
    """Raise `InputError` for a preprocessing of no known kind."""
    if given.preprocessing not in complete.PREPROCESSING:
        raise unknown("preprocessing", given.preprocessing, complete.PREPROCESSING)


def preprocessing_for(
    given: ModelOptions, data: Facts, trained: Preprocessing | None, *, measured: bool
) -> Preprocessing | None:
    """Return how the images of `data` are resized and cut inside the model; None where they are not.

    Args:
        given: the model and what is asked for.
        data: the images.
        trained: what the training in `--weights FOLDER` did.
        measured: the model is measured as it is, not trained.

    Raises `InputError` where the model's own is asked for, and it has none.
    """
    from saddlepoint.zoo import default_preprocessing, is_whole

    if given.preprocessing == "none" or len(data.shape) != 3:
        return None
    if given.preprocessing == "auto" and trained is not None:
        return trained
    if given.preprocessing == "own" or is_whole(given.model):
        own = default_preprocessing(given.model)
        if own is None:
            raise InputError(f"{given.model} has no preprocessing of its own; leave it out")
        return own
    if not (measured and given.pretrained and given.weights is None):
        return None
    # A network that is trained on, or was, has the size of its images.
    own = default_preprocessing(given.model)
    sides = data.shape[1], data.shape[2]
    return own if own is not None and own.size(*sides) != sides else None


def trained_preprocessing(config: dict[str, Any]) -> Preprocessing | None:
    """Return how a training resized and cut its images, by its configuration; None where not."""
    from saddlepoint.model import Preprocessing

    identity = config.get("identity")
    said = identity.get("preprocessing") if isinstance(identity, dict) else None
    return Preprocessing.of(said) if isinstance(said, dict) else None


def class_map_for(given: ModelOptions, mapping: Path | None, data: Facts) -> ClassMap | None:
    """Return which outputs of the model the data's classes are: by a file, or by the names that the
    model has for them; None where they are the outputs in their order.
    """
    from saddlepoint.data import named_outputs, read_class_map
    from saddlepoint.zoo import class_names

    names = class_names(given.model)
    if mapping is None:
        return None if names is None else named_outputs(names, data.classes)
    found = read_class_map(mapping, data.classes, names)
    return replace(found, names=names) if names is not None and found.names is None else found
