"""Files that nobody should trust, and what every reader must make of them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from saddlepoint.errors import InputError

SHAPE = (3, 8, 8)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 1])


@contextlib.contextmanager
def bounded(extra=1 << 30):
    """No more than `extra` bytes beside what the process has: what is eaten raises MemoryError."""
    resource = pytest.importorskip("resource")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the memory of a process is not told here")
    now = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(read, path, whole=True):
    """Read; return the error, which is one or two lines with the file's name, or None."""
    try:
        read(path)
    except InputError as error:
        text = str(error)
        assert len(text.splitlines()) <= 2, text
        assert all(line.isprintable() for line in text.splitlines()), text
        assert not whole or path.name in text, text
        assert "more memory than there is" not in text
        return text
    return None


def png(pixels=PIXELS[0], chunks=()):
    """A PNG, with other chunks, (name, content), after its header."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    content = file.getvalue()
    added = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return content[:33] + added + content[33:]


def png_of(width, height, bits=8, colour=2):
    """A PNG of one row that says it is larger."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = zlib.compress(b"\0" * 4096)
    parts = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def npy(shape, values=b"", descr="|u1", version=1):
    """An array whose header says what it likes."""
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + values


def npz(path, **members):
    """An archive of arrays and of raw members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if not isinstance(content, bytes):
                file = io.BytesIO()
                np.save(file, content, allow_pickle=True)
                content = file.getvalue()
            archive.writestr(f"{name}.npy", content)
    return path


def inflated(path, name, head, nbytes):
    """An archive with a member of so many zeros: a thousandth of them on disk."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(nbytes >> 24):
            member.write(bytes(1 << 24))
    return path


def patched(path, *places):
    """Write (offset within each record, content) into every local and central record of a zip."""
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(mark)
        while start >= 0:
            for offset, bits in places:
                content[start + at + offset : start + at + offset + len(bits)] = bits
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    return path


def whole(path):
    """A sound file of the kind that the suffix says."""
    kind = path.suffix
    if kind == ".npz":
        np.savez_compressed(path, x=PIXELS, y=LABELS)
    elif kind == ".npy":
        np.save(path, np.eye(8))
    elif kind == ".parquet":
        rows = {"image": [png(each) for each in PIXELS], "label": LABELS}
        parquet.write_table(arrow.table(rows), path)
    elif kind == ".safetensors":
        save_file({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, path)
    elif kind == ".pt":
        torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, path)
    elif kind == ".png":
        path.write_bytes(png())
    elif kind == ".json":
        path.write_text(json.dumps({"kind": "train", "config": {"a": [1, 2.5, None, "x"]}}))
    elif kind == ".yaml":
        path.write_text("epochs: 3\noptimiser: {learning_rate: 0.1, momentum: 0.9}\n")
    elif kind == ".txt":
        path.write_text("cat: 281\ndog: 207\n")
    return path
