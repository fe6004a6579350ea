"""Every reader, on cut, flipped, empty and strange files: a value or an `InputError`, at once."""

from __future__ import annotations

import os
import random

import pytest
from hostile import SHAPE, bounded, refusal, whole

from saddlepoint.data import load_data, read_class_map
from saddlepoint.data.decode import decode
from saddlepoint.defences import load_recipe
from saddlepoint.evaluation import read_mask, read_saved
from saddlepoint.reading import read_json
from saddlepoint.reading.tables import read_table
from saddlepoint.reading.tensors import read_metadata, read_safetensors
from saddlepoint.studies import load_study
from saddlepoint.zoo import read_state

READERS = {
    "data.npz": lambda p: load_data(str(p)),
    "data.parquet": lambda p: load_data(str(p)),
    "table.parquet": read_table,
    "picture.png": lambda p: decode(p, str(p), "RGB"),
    "saved.npz": lambda p: read_saved(p, SHAPE),
    "saved.pt": lambda p: read_saved(p, SHAPE),
    "mask.npy": lambda p: read_mask(p, SHAPE),
    "mask.png": lambda p: read_mask(p, SHAPE),
    "weights.pt": read_state,
    "weights.safetensors": read_state,
    "part.safetensors": read_safetensors,
    "metadata.safetensors": read_metadata,
    "run.json": read_json,
    "classes.json": lambda p: read_class_map(p, ("kind",)),
    "classes.txt": lambda p: read_class_map(p, ("cat", "dog")),
    "recipe.yaml": lambda p: load_recipe(str(p)),
    "study.yaml": load_study,
}
every_reader = pytest.mark.parametrize(("name", "read"), READERS.items(), ids=READERS)
pytestmark = pytest.mark.timeout(60)


@every_reader
def test_a_cut_or_flipped_file_is_read_or_refused(name, read, tmp_path):
    path = whole(tmp_path / name)
    content, draw = path.read_bytes(), random.Random(name)
    damaged = [content[: len(content) * i // 12] for i in range(12)] + [content + b"\0" * 9]
    for _ in range(40):
        flipped = bytearray(content)
        for _ in range(draw.choice((1, 1, 8))):
            flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    with bounded():
        for each in damaged:
            path.write_bytes(each)
            refusal(read, path, whole=False)


@every_reader
@pytest.mark.parametrize("kind", ["pipe", "link to nothing", "link to itself", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(name, read, kind, tmp_path):
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"device": "/dev/zero", "link to itself": path}
        path.symlink_to(targets.get(kind, tmp_path / "absent"))
    assert refusal(read, path)


@every_reader
def test_a_name_that_would_steer_the_terminal_is_escaped(name, read, tmp_path):
    stem, suffix = name.split(".")
    for odd in ("two\nlines", "\x1b[2Jclear", "not\udcffutf"):
        path = tmp_path / f"{stem}{odd}.{suffix}"
        path.write_bytes(b"\x00rubbish: [")
        text = refusal(read, path, whole=False)
        assert text is None or ascii(odd)[1:-1] in text
    assert text is not None or name == "classes.txt"


@every_reader
def test_sound_files_are_read(name, read, tmp_path):
    path = whole(tmp_path / name)
    if name not in ("saved.pt", "study.yaml", "classes.json"):
        assert refusal(read, path) is None
