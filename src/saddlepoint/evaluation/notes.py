"""What a reader of an evaluation must know of its images to trust the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.answers import NO_CLASS, silence, silence_under_attack
from saddlepoint.attacks import Criterion, Rejecting, tie_note
from saddlepoint.errors import InputError
from saddlepoint.evaluation.breakdown import STANDS
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.threat import EMBEDDING


def inputs_of(space: str) -> str:
    """Return what the inputs of a space of budgets are called.

    >>> inputs_of("embedding per root length"), inputs_of("pixels")
    ('sentences', 'images')
    """
    return "sentences" if space.startswith(EMBEDDING) else "images"


def space_notes(space: str) -> tuple[str, ...]:
    """Return a note where the images that attacks, checks and tables tell of are something else.

    >>> space_notes("embedding")
    ('an image, in the words of attacks and checks, is an embedded sentence here',)
    """
    if inputs_of(space) == "images":
        return ()
    return ("an image, in the words of attacks and checks, is an embedded sentence here",)


def class_notes(labels: Int64[Tensor, " n"], classes: Sequence[str], name: str) -> tuple[str, ...]:
    """Return a note where the labels leave classes out that an accuracy is read as being of: all
    images are of one class, or fewer than there are classes. One image alone says it itself.

    Args:
        labels: of all images.
        classes: the names of the classes that the data has.
        name: of the data.

    Raises `InputError` for data of one class, where any model that always gives it is right.

    >>> class_notes(torch.tensor([1, 1]), ("cat", "dog"), "pets")
    ('all 2 images are of class dog: the accuracies are those of one class',)
    >>> class_notes(torch.tensor([0, 0]), ("cat",), "pets")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: pets has one class, cat, and any model that always gives it is ...
    """
    if len(classes) == 1 and classes[0] != "0":
        raise InputError(
            f"{name} has one class, {classes[0]}, and any model that always gives it is right; give"
            " images of two classes at least"
        )
    present = sorted(set(labels.tolist()))
    if len(labels) < 2:
        return ()
    if len(present) == 1:
        which = classes[present[0]] if present[0] < len(classes) else str(present[0])
        return (
            f"all {len(labels)} images are of class {which}: the accuracies are those of one class",
        )
    if len(labels) < len(classes):
        return (
            f"{len(labels)} images are fewer than the {len(classes)} classes: the accuracies say"
            f" nothing of {len(classes) - len(present)} of them",
        )
    return ()


def image_notes(record: Evaluation, criterion: Criterion) -> tuple[str, ...]:
    """Return what is to be said of images without a class, of rejected ones, and of ties.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import evaluate
    >>> data = load_data("digits", limit=4)
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    >>> image_notes(evaluate(net, data, "Linf", eps=0.1, suite="quick"), Misclassified())
    ()
    """
    images, total = record.images, record.clean.total
    last = images.slice((len(record.budgets) - 1) * total, total)
    notes = []
    silent = _column(last, "clean_prediction") == NO_CLASS
    if silent.any():
        notes.append(silence(int(silent.sum()), total))
    lost = (_column(last, "prediction") == NO_CLASS) & ~silent
    if lost.any():
        notes.append(silence_under_attack(int(lost.sum()), total))
    if isinstance(criterion, Rejecting):
        notes.extend(_rejections(record, criterion.reject))
    told = tie_note(torch.from_numpy(_column(images, "clean_tied") | _column(images, "tied")))
    return tuple(notes) if told is None else (*notes, told)


def _rejections(record: Evaluation, reject: int) -> Iterator[str]:
    """Yield how many clean images are rejected, and at each budget how many of those that stand."""
    images, total = record.images, record.clean.total
    clean = images.slice(0, total)
    label, answer = _column(clean, "label"), _column(clean, "clean_prediction")
    yield (
        f"a rejected image (class {reject}) fools nobody: of {total} clean images"
        f" {int((answer == reject).sum())} are rejected, and {int((answer == label).sum())} are"
        " accepted as their class"
    )
    tried = record.attempts
    eps, identity = _column(tried, "eps"), _column(tried, "id")
    rejected = _column(tried, "prediction") == reject
    for level, budget in enumerate(record.budgets):
        rows = images.slice(level * total, total)
        stand = np.array(rows["fooled_by"].to_pylist(), dtype=object) == STANDS
        same = np.isnan(eps) if np.isnan(budget.eps) else eps == budget.eps
        found = np.isin(_column(rows, "id"), identity[same & rejected])
        if not same.any():  # nothing was tried
            found = answer == reject
        yield (
            f"at eps {budget_text(budget.eps)} {int((stand & found).sum())} of the"
            f" {int(stand.sum())} images that stand are rejected as an attack left them"
        )


def _column(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy().copy()
