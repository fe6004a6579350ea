"""The decoder of a masked autoencoder in a file of its own, beside the weights of its encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.files import write
from saddlepoint.model import Normalised
from saddlepoint.model.wrapped import bare
from saddlepoint.reading import decoding, expanded, shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.zoo.mae import DecoderDesign, MAEDecoder, MaskedAutoencoder, channels_of
from saddlepoint.zoo.vit import ViT
from saddlepoint.zoo.vit_design import ViTDesign
from saddlepoint.zoo.weights import load_weights

DECODER_FILE = "decoder.safetensors"
_ENCODER_FILE = "model.safetensors"
_DESIGN = "mae"


def save_decoder(mae: MaskedAutoencoder, folder: Path | str) -> Path:
    """Write the decoder's weights into a folder, with the designs of encoder and decoder.

    Raises `OutputError` where the disk refuses.

    >>> import tempfile
    >>> net = ViT()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_decoder(MaskedAutoencoder(net, MAEDecoder(net)), folder).name
    'decoder.safetensors'
    """
    encoder, decoder = mae.encoder, mae.decoder
    patch = encoder.design.patch
    said = {
        "encoder": asdict(encoder.design),
        "decoder": asdict(decoder.design),
        "classes": _outputs(encoder.head),
        "channels": channels_of(encoder),
        "size": [side * patch for side in decoder.grid],
        "normalised": isinstance(bare(mae.model), Normalised),
    }
    state = {k: v.detach().cpu().contiguous().clone() for k, v in decoder.state_dict().items()}
    return write(
        Path(folder) / DECODER_FILE,
        safetensors.torch.save(state, metadata={_DESIGN: json.dumps(said)}),
    )


def load_mae(folder: Path | str) -> MaskedAutoencoder:
    """Return the masked autoencoder that was trained into a folder, in evaluation mode, on the CPU.

    Raises `InputError` for a folder that holds none.

    >>> load_mae("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no-such-folder holds no decoder.safetensors; give the folder of a ...
    """
    folder = expanded(folder)
    path = folder / DECODER_FILE
    if not path.exists():
        raise InputError(
            f"{shown(folder)} holds no {DECODER_FILE}; give the folder of a training by mae"
        )
    told = read_metadata(path).get(_DESIGN)
    with decoding(path, "the decoder of a masked autoencoder"), torch.random.fork_rng(devices=[]):
        said: Mapping[str, Any] = json.loads(told or "")
        height, width = said["size"]
        encoder = ViT(
            ViTDesign(**said["encoder"]),
            classes=said["classes"],
            channels=said["channels"],
            size=(height, width),
        )
        decoder = MAEDecoder(encoder, DecoderDesign(**said["decoder"]))
        plain = (0.0,) * said["channels"], (1.0,) * said["channels"]
        model: nn.Module = Normalised(encoder, *plain) if said["normalised"] else encoder
    load_weights(decoder, path)
    load_weights(model, folder / _ENCODER_FILE)
    return MaskedAutoencoder(model, decoder).eval()


def _outputs(head: nn.Module) -> int:
    last = [each for each in head.modules() if isinstance(each, nn.Linear)][-1]
    return int(last.out_features)
