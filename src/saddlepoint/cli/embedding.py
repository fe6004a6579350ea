"""`--space embedding` of `saddlepoint attack` and `evaluate`: a classifier of texts, and texts as it
embeds them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.console import note, progress
from saddlepoint.cli.display import printable
from saddlepoint.cli.images import choose_device
from saddlepoint.cli.options import Corruptible
from saddlepoint.cli.prepare import Check, Place, Prepared, prepare
from saddlepoint.cli.text_options import TextReading
from saddlepoint.cli.train_text import check_no_images
from saddlepoint.errors import InputError

if TYPE_CHECKING:
    from saddlepoint.reports.page.sentences import Sentence

_SHOWN = 6  # sentences in a terminal
_WIDEST = 100


def prepare_in(
    space: str, given: Corruptible, texts: TextReading, *, check: Check, place: Place
) -> Prepared:
    """Return the model and what it is given: images, or in the space "embedding" texts.

    Args:
        texts: how a file of texts is read; refused where images are.

    Raises `InputError` for whatever cannot be used.
    """
    if space == "embedding":
        return _embedded(given, texts, check=check, place=place)
    texts.check_unused()
    return prepare(given, check=check, place=place)


def _embedded(given: Corruptible, texts: TextReading, *, check: Check, place: Place) -> Prepared:
    from saddlepoint.reading import shown
    from saddlepoint.run_folders import check_free
    from saddlepoint.text import (
        EmbeddedText,
        Framing,
        FromEmbedding,
        Sentences,
        TextColumns,
        check_named,
        load_text,
        load_text_classifier,
        text_model,
    )
    from saddlepoint.zoo import weights_fingerprint

    others = {
        "--corruption": given.corruption,
        "--classes": given.classes,
        "--transform": given.transform,
        "--model-option": given.model_option,
    }
    check_no_images(given, others)
    theirs = given.model.startswith("hf:")
    if given.weights is None and not theirs:
        raise InputError(
            "the space embedding needs --weights, the folder of a training on texts with classes, or"
            " --model hf:FOLDER"
        )
    if given.weights is not None and theirs:
        raise InputError(f"{given.model} has weights of its own; leave --weights out")
    if given.weights is not None:
        text_model(given.model)
        check_named(given.weights, given.model)
    device = choose_device(given.device, given.threads)
    check_free(place.out, place.kind, place.files, {"seed": given.seed})
    trained = load_text_classifier(given.model if given.weights is None else given.weights)
    model = FromEmbedding(trained.model.to(device))
    check(((0.0,), (1.0,)), None)
    with progress("reading"):
        data = load_text(
            given.data, split=given.split, data_root=given.data_root,
            columns=TextColumns(tuple(texts.column or ()), texts.label), limit=given.limit,
            classes=trained.classes,
        )  # fmt: skip
    if data.labels is not None and data.classes != trained.classes:
        raise InputError(
            f"{given.model} tells {', '.join(trained.classes)}, and {data.name} has"
            f" {', '.join(data.classes)}; give texts of the same classes"
        )
    own = trained.framing
    framing = Framing(own.tokeniser, own.most, texts.truncate or own.truncate)
    framed = Sentences(data, framing)
    if framed.cut:
        note(f"note: {framed.cut:,} of {len(framed):,} texts were cut to {framing.most} tokens")
    identity: dict[str, Any] = {
        "model": given.model,
        "weights": {
            "file": None if given.weights is None else shown(given.weights),
            "fingerprint": weights_fingerprint(trained.model),
        },
        "tokeniser": framing.tokeniser.fingerprint,
        "truncate": framing.truncate,
        "cut": framed.cut,
    }
    return Prepared(model, EmbeddedText.of(framed, trained.model), identity, device)


def show_sentences(found: Sequence[Sentence]) -> None:
    """Print the first of these sentences, with a bar below each word."""
    from saddlepoint.reports.sentences import bars

    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    for each in found[:_SHOWN]:
        for line in bars(each, width):
            print(printable(line))
