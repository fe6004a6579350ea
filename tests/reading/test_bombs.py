"""Small files that would become large, or deep, or something else than numbers."""

from __future__ import annotations

import json
import warnings
import zlib

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from hostile import (
    LABELS,
    PIXELS,
    SHAPE,
    bounded,
    inflated,
    npy,
    npz,
    patched,
    png,
    png_of,
    refusal,
    whole,
)
from PIL import Image
from safetensors.torch import save_file

from saddlepoint.data import load_data
from saddlepoint.defences import load_recipe
from saddlepoint.evaluation import read_mask, read_saved
from saddlepoint.reading import read_json
from saddlepoint.reading.pictures import picture
from saddlepoint.studies import load_study
from saddlepoint.zoo import read_state

pytestmark = pytest.mark.timeout(60)


def data(path):
    return load_data(str(path))


def saved(path):
    return read_saved(path, SHAPE)


DEEP = "(" * 4000 + ")" * 4000
ARCHIVES = {
    "a shape beyond the file": lambda p: npz(p, x=npy((10**6, 8, 8, 3), b"ab"), y=LABELS),
    "a shape beyond all numbers": lambda p: npz(p, x=npy((10**30, 8, 8, 3)), y=LABELS),
    "a negative side": lambda p: npz(p, x=npy((-4, 8, 8, 3)), y=LABELS),
    "a side that is no number": lambda p: npz(p, x=npy((True, 8, 8, 3)), y=LABELS),
    "a header of gigabytes": lambda p: npz(p, x=b"\x93NUMPY\2\0\xff\xff\xff\xff", y=LABELS),
    "a deep header": lambda p: npz(p, x=npy(DEEP), y=LABELS),
    "an unknown type": lambda p: npz(p, x=npy((4, 8, 8, 3), bytes(768), "|Q9"), y=LABELS),
    "long doubles": lambda p: npz(p, x=np.zeros((4, 8, 8, 3), np.longdouble), y=LABELS),
    "objects": lambda p: npz(p, x=np.array([{}], dtype=object), y=LABELS),
    "structures": lambda p: npz(p, x=np.zeros(4, [("a", "f4")]), y=LABELS),
    "an encrypted member": lambda p: patched(npz(p, x=PIXELS, y=LABELS), (0, b"\1\0")),
    "an unknown compression": lambda p: patched(npz(p, x=PIXELS, y=LABELS), (2, b"\x63\0")),
    "no array": lambda p: npz(p, x=b"", y=b""),
}


@pytest.mark.parametrize("make", ARCHIVES.values(), ids=ARCHIVES)
@pytest.mark.parametrize("read", [data, saved])
def test_archives_that_lie_are_refused(make, read, tmp_path):
    make(tmp_path / "a.npz")
    with bounded():
        assert refusal(read, tmp_path / "a.npz")


def test_inflated_files_are_refused(tmp_path):
    nbytes = 17 << 24
    inflated(tmp_path / "a.npz", "x.npy", npy((17, 1, 1 << 12, 1 << 12)), nbytes)
    inflated(tmp_path / "a.pt", "archive/data.pkl", b"", nbytes)
    with bounded(1 << 28):
        for path, read in (("a.npz", saved), ("a.pt", read_state), ("a.pt", saved)):
            assert "is refused" in refusal(read, tmp_path / path)
    once = arrow.array([png() + bytes(1 << 19)])
    repeated = arrow.DictionaryArray.from_arrays(np.zeros(5000, np.int32), once)
    table = arrow.table({"image": repeated, "label": np.zeros(5000, np.int64)})
    for schema in (True, False):  # with and without the note that it was a dictionary
        parquet.write_table(table, tmp_path / "a.parquet", store_schema=schema)
        with bounded():
            assert "is refused" in refusal(data, tmp_path / "a.parquet")


ZEROS = zlib.compress(bytes(1 << 27))
PICTURES = {
    "a side of 60,000": png_of(60_000, 60_000),
    "a side of 12,000": png_of(12_000, 12_000),
    "compressed text": png(chunks=[(b"zTXt", b"a\0\0" + ZEROS)]),
    "compressed text after": png()[:-12] + png(chunks=[(b"zTXt", b"a\0\0" + ZEROS)])[33:],
    "compressed profile": png(chunks=[(b"iCCP", b"a\0\0" + ZEROS[:-9])]),
    "an animation of nothing": png(chunks=[(b"acTL", b"\xff" * 8)]),
    "a palette of nothing": png_of(8, 8, 8, 3),
    "no pixels": png_of(0, 8),
}


@pytest.mark.parametrize("content", PICTURES.values(), ids=PICTURES)
def test_pictures_that_swell_are_read_or_refused(content, tmp_path):
    for folder in ("cat", "dog"):
        (tmp_path / "d" / folder).mkdir(parents=True)
        (tmp_path / "d" / folder / "1.png").write_bytes(content)
    (tmp_path / "1.png").write_bytes(content)
    rows = arrow.table({"image": [content], "label": [0]})
    parquet.write_table(rows, tmp_path / "a.parquet")
    with bounded(1 << 29), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refusal(data, tmp_path / "d", whole=False)
        refusal(data, tmp_path / "a.parquet")
        refusal(lambda p: read_saved(p, SHAPE), tmp_path / "d" / "cat", whole=False)
        refusal(lambda p: read_mask(p, SHAPE), tmp_path / "1.png")


@pytest.mark.parametrize("mode", ["I;16", "colour"])
@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_sixteen_bits_are_refused_by_every_reader(mode, suffix, tmp_path):
    path = tmp_path / "d" / "0.png"  # what it is, Pillow reads from the content
    path.parent.mkdir()
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    if suffix == "ppm":
        kind, planes = (b"P5", 1) if mode == "I;16" else (b"P6", 3)
        body = np.repeat(values[..., None], planes, 2).astype(">u2").tobytes()
        path.write_bytes(kind + b" 8 8 65535\n" + body)
    elif mode == "I;16":
        Image.fromarray(values).save(path, suffix.replace("tif", "tiff"))
    elif suffix == "png":
        path.write_bytes(png_of(8, 8, 16, 2))
    else:
        pytest.skip("Pillow writes no such TIFF")
    shape = (1, 8, 8) if mode == "I;16" else SHAPE
    for read in (
        lambda p: read_saved(p.parent, shape),
        lambda p: read_mask(p, shape),
        lambda p: load_data(str(p.parent.parent)),
    ):
        assert "more than 8 bits" in refusal(read, path)


def test_pictures_that_other_programs_would_decode_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EOF\n")

    def read(path):
        with picture(path, str(path)) as image:
            image.load()

    assert "not an image" in refusal(read, tmp_path / "a.png")


def nested(levels):
    value = torch.ones(2)
    for _ in range(levels):
        value = {"state_dict": value}
    return value


def odd_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield "meta", torch.empty(10**6, 10**6, device="meta")
        yield "expanded", torch.zeros(1).expand(10**7, 10**4)
        yield "nested", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        yield "sparse", torch.sparse_coo_tensor([[0], [1]], [1.0], (10**6, 10**6))
        yield "rows", torch.eye(4).to_sparse_csr()
        yield "quantised", torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
        yield "float8", torch.ones(4).to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    "kind", ["meta", "expanded", "nested", "sparse", "rows", "quantised", "float8"]
)
def test_tensors_that_are_no_plain_numbers_are_refused(kind, tmp_path):
    tensor = dict(odd_tensors())[kind]
    torch.save({"weight": tensor, "x": tensor}, tmp_path / "a.pt")
    with bounded():
        assert refusal(read_state, tmp_path / "a.pt")
        assert refusal(saved, tmp_path / "a.pt")
    if kind == "float8":
        save_file({"weight": tensor}, tmp_path / "a.safetensors")
        assert "float8" in refusal(read_state, tmp_path / "a.safetensors")


@pytest.mark.parametrize("levels", [6, 200])
def test_deep_checkpoints(levels, tmp_path):
    torch.save(nested(levels), tmp_path / "a.pt")
    assert refusal(read_state, tmp_path / "a.pt")
    assert refusal(saved, tmp_path / "a.pt")


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
YAMLS = {
    "aliases": LAUGHS,
    "an alias of itself": "epochs: &a [*a]",
    "deep": "epochs: " + "[" * 900 + "]" * 900,
    "merged with itself": "a: &a\n  <<: *a\n",
    "a key that is a list": "? [a, b]\n: 3\n",
    "long": "a: 1\n" * 100_000,
    "a year": "epochs: 99999-99-99",
    "digits": "epochs: " + "9" * 6000,
    "code": "epochs: !!python/object/apply:os.system [touch x]",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
@pytest.mark.parametrize(
    "read", [lambda p: load_recipe(str(p)), load_study], ids=["recipe", "study"]
)
def test_specifications_that_unfold_are_refused(text, read, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with bounded():
        assert refusal(read, tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 500 + "]" * 500,
        '{"a":' * 90 + "1" + "}" * 90,
        "NaN",
        "1e999",
        "9" * 5000,
    ],
)
def test_json_that_is_none_of_ours_is_refused(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    assert refusal(read_json, tmp_path / "a.json")


@pytest.mark.parametrize("label", [10**8, 2**31, 2**62, 2**63 + 5])
def test_a_label_that_would_make_too_many_classes_is_named(label, tmp_path):
    whole(tmp_path / "b.npz")
    kind = np.uint64 if label > 2**62 else np.int64
    np.savez(tmp_path / "a.npz", x=PIXELS, y=np.array([0, 1, label, 0], kind))
    with bounded(1 << 28):
        text = refusal(data, tmp_path / "a.npz")
    assert str(label) in text
    assert "image 2" in text
    rows = {"image": [png()] * 2, "label": arrow.array([0, label], arrow.uint64())}
    parquet.write_table(arrow.table(rows), tmp_path / "a.parquet")
    with bounded(1 << 28):
        assert str(label) in refusal(data, tmp_path / "a.parquet")


def test_the_labels_of_a_part_of_imagenet_are_taken(tmp_path):
    np.savez(tmp_path / "a.npz", x=PIXELS, y=np.array([999, 3, 21_840, 0]))
    assert len(data(tmp_path / "a.npz").classes) == 21_841


def test_indices_that_no_data_has_are_refused(tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / f"{10**30}.png").write_bytes(png())
    assert str(10**30) in refusal(saved, folder)
    (folder / "²³.png").write_bytes(png())  # digits to Unicode, but no number
    (folder / f"{10**30}.png").rename(folder / "12.png")
    assert saved(folder)[1] is None
    x = PIXELS.astype(np.float32) / 255
    np.savez(tmp_path / "a.npz", x=x, ids=np.array([0, 1, 2, 2**63 + 1], np.uint64))
    assert "ids" in refusal(saved, tmp_path / "a.npz")


@pytest.mark.parametrize("size", [10**11, 2**63, 5000, 0])
def test_an_image_size_is_bounded_before_anything_is_read(size):
    with pytest.raises(ValueError, match=f"the image size is {size}; give 1 … 4096"):
        load_data("digits", image_size=size)


def test_json_numbers_of_a_name_that_is_no_utf8(tmp_path):
    from saddlepoint.files import write_json

    path = write_json(tmp_path / "a.json", {"name": "a\udcff"})
    assert read_json(path) == json.loads(path.read_bytes()) == {"name": "a\udcff"}
