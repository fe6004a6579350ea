"""Reading files that somebody else may have written: regular files only, of bounded size, and
whatever a decoder raises becomes one line with the file's name.

    opened     opening, names, limits, errors
    text       text, JSON, YAML
    pictures   PNG, JPEG … through Pillow
    arrays     .npy and .npz
    inert      stand-ins for what a checkpoint holds beside its tensors
    formats    what a file of weights is
    tensors    .pt and .safetensors
    tables     .parquet
    records    rows of named columns: CSV, Parquet, JSON lines, lines of text

The formats are imported where they are needed: the libraries behind them are slow to import.
"""

from saddlepoint.reading.opened import (
    check_fits,
    check_inflated,
    decoding,
    expanded,
    file_digest,
    opened,
    read_bytes,
    shown,
)
from saddlepoint.reading.text import read_json, read_lines, read_text

__all__ = [
    "check_fits",
    "check_inflated",
    "decoding",
    "expanded",
    "file_digest",
    "opened",
    "read_bytes",
    "read_json",
    "read_lines",
    "read_text",
    "shown",
]
