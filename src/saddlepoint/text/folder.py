"""The folder of a training on texts: the network, its tokeniser, and how texts became sequences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reading import decoding, expanded, read_json, shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.run_folders import RUN_FILE
from saddlepoint.text.framing import Framing
from saddlepoint.text.registry import described, rebuilt
from saddlepoint.text.tokenisers import check_vocabulary, load_tokeniser
from saddlepoint.zoo import load_weights

TOKENISER_FILE = "tokeniser.json"
METADATA = "text"
"""The entry of a weights file's metadata that describes the network."""
_WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, eq=False)
class TrainedText:
    """A network for texts as a training left it, or a classifier of Hugging Face.

    Attributes:
        model: in evaluation mode, on the CPU.
        framing: its tokeniser, and how long a sequence may be.
        classes: the names of its classes; none where it tells none.

    >>> TrainedText(nn.Identity(), None, ()).classes
    ()
    """

    model: nn.Module
    framing: Framing
    classes: tuple[str, ...]


def told_of(model: nn.Module, framing: Framing, classes: tuple[str, ...] = ()) -> str:
    """Return what `load_trained_text` needs beside weights and tokeniser, as text for the file of the
    weights.

    >>> from saddlepoint.text import Bert, BertDesign, WordTokeniser
    >>> told = told_of(Bert(BertDesign(8, 16, 1, 2, 32, 8)), Framing(WordTokeniser(["a"]), 8))
    >>> json.loads(told)["most"]
    8
    """
    return json.dumps(
        {
            **described(model),
            "names": list(classes),
            "tokeniser": framing.tokeniser.fingerprint,
            "most": framing.most,
            "truncate": framing.truncate,
        }
    )


def check_named(folder: Path | str, name: str) -> None:
    """Raise `InputError` where the folder of a training says that its network is another than `name`.

    >>> check_named("no-such", "bert-micro")
    """
    path = expanded(folder) / RUN_FILE
    if not path.is_file():
        return
    with decoding(path, "the record of a training"):
        identity = read_json(path)["config"]["identity"]
        own = None if identity is None else identity.get("model")
    if isinstance(own, str) and own != name:
        raise InputError(
            f"{shown(folder)} is of {own}, and the model is {name}; give --model {own}"
        )


def load_trained_text(folder: Path | str) -> TrainedText:
    """Return the network that was trained on texts into a folder.

    Raises `InputError` for a folder that holds none, or another tokeniser than the network's.

    >>> load_trained_text("no-such")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no-such holds no model.safetensors; give the folder of a training ...
    """
    folder = expanded(folder)
    path = folder / _WEIGHTS_FILE
    if not path.exists():
        raise InputError(
            f"{shown(folder)} holds no {_WEIGHTS_FILE}; give the folder of a training on texts"
        )
    text = read_metadata(path).get(METADATA)
    if text is None:
        raise InputError(f"{shown(path)} is of no network for texts; train one, see docs/text.md")
    with decoding(path, "the weights of a network for texts"):
        told: Mapping[str, Any] = json.loads(text)
        model = rebuilt(told)
        most, truncate = told["most"], bool(told["truncate"])
        classes, own = tuple(map(str, told["names"])), str(told["tokeniser"])
        vocabulary = int(told["design"]["vocabulary"])
    tokeniser = load_tokeniser(folder / TOKENISER_FILE)
    check_vocabulary(tokeniser, vocabulary, own)
    load_weights(model, path)
    model.eval()
    return TrainedText(model, Framing(tokeniser, most, truncate), classes)
