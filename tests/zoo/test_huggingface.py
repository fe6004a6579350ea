"""hf:FOLDER is the classifier that transformers itself makes of the folder, or is refused."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch

pytest.importorskip("transformers", reason="transformers is not installed")

from hf_folders import NAMES, resnet, rewrite, transformers, vit
from PIL import Image
from safetensors.torch import load_file, save_file

from saddlepoint.attacks import PGD
from saddlepoint.cli import run
from saddlepoint.errors import InputError
from saddlepoint.model import Preprocessing, preprocessed
from saddlepoint.threat import Linf
from saddlepoint.zoo import (
    build_model,
    class_names,
    default_normalisation,
    default_preprocessing,
    pretrained_classes,
    read_huggingface,
    weights_fingerprint,
    weights_inside,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    vit(folder / "vit")
    resnet(folder / "resnet")
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written / "vit", tmp_path / "vit")


def whole(folder, side=16):
    spec = f"hf:{folder}"
    net = build_model(spec, classes=pretrained_classes(spec), shape=(3, side, side))
    return preprocessed(net, default_preprocessing(spec), default_normalisation(spec))


def theirs(folder, images, **options):
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**processor(list(images), return_tensors="pt", **options)).logits


def pictures(*sides):
    return torch.randint(0, 256, (3, 3, *sides), dtype=torch.uint8)


@pytest.mark.parametrize(("name", "side"), [("vit", 16), ("resnet", 32)])
def test_the_logits_are_those_of_transformers_own_processor_and_model(written, name, side):
    images = pictures(side, side)
    seen, right = whole(written / name)(images / 255), theirs(written / name, images)
    assert right.std() > 1e-3
    assert torch.allclose(seen, right, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "resnet"])
@pytest.mark.parametrize("sides", [(32, 32), (20, 31), (9, 12)])
def test_images_of_another_size_are_resized_and_cut_as_theirs_are(written, name, sides):
    # Smooth ones in the middle of the range: theirs round to 8 bits, and their floats are not clipped.
    coarse = 0.3 + 0.4 * torch.rand(3, 3, 4, 4)
    images = torch.nn.functional.interpolate(coarse, sides, mode="bilinear")
    seen = whole(written / name)(images)
    assert torch.allclose(seen, theirs(written / name, images, do_rescale=False), atol=1e-5)
    eight_bit = (images * 255).round().to(torch.uint8)
    rounded = theirs(written / name, eight_bit)
    spread = (rounded.amax(1) - rounded.amin(1)).max()
    assert torch.allclose(seen, rounded, atol=0.05 * float(spread) + 1e-3)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_gradients_reach_the_pixels_and_are_those_of_differences(written, name):
    model = whole(written / name).double().eval()
    images = (0.2 + 0.6 * torch.rand(1, 3, 24, 20)).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[0, 1], images)
    assert (gradient != 0).any()
    direction = torch.randn_like(images)
    step = 1e-5 * direction
    with torch.no_grad():
        slope = (model(images + step) - model(images - step))[0, 1] / 2e-5
    assert torch.isclose((gradient * direction).sum(), slope, rtol=1e-4)


def test_it_is_attacked_at_the_size_of_its_images(written):
    model = whole(written / "vit")
    images = torch.rand(4, 3, 24, 24)
    result = PGD(Linf(0.1), steps=5)(model, images, model(images).argmax(1))
    assert result.adversarials.shape == images.shape
    assert result.success.any()
    assert float((result.adversarials - images).abs().max()) <= 0.1 + 1e-6


def test_the_folder_says_classes_sizes_constants_and_weights(written):
    spec = f"hf:{written / 'vit'}"
    assert class_names(spec) == NAMES
    assert default_preprocessing(spec) == Preprocessing((16, 16), None, "bilinear")
    assert default_normalisation(spec) == ((0.5,) * 3, (0.5,) * 3)
    found = read_huggingface(written / "resnet")
    assert (found.classes, found.count) == (None, 4)
    assert found.preprocessing == Preprocessing(32, (28, 28), "bicubic")
    assert set(weights_inside(spec)) == {"file", "fingerprint", "config"}


def test_sharded_weights_are_the_same_model(written, folder):
    state = load_file(folder / "model.safetensors")
    keys = sorted(state)
    parts = {"a.safetensors": keys[::2], "b.safetensors": keys[1::2]}
    for name, some in parts.items():
        save_file({key: state[key] for key in some}, folder / name, metadata={"format": "pt"})
    placed = {key: name for name, some in parts.items() for key in some}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (folder / "model.safetensors").unlink()
    assert weights_fingerprint(whole(folder)) == weights_fingerprint(whole(written / "vit"))
    assert weights_inside(f"hf:{folder}")["file"].endswith("index.json")
    (folder / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks b\.safetensors, which its index names"):
        whole(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../vit/a.safetensors"}}))
    with pytest.raises(InputError, match="which is no file of safetensors in its folder"):
        whole(folder)


STRANGE = [
    ({"resample": 1}, r"resample is 1 \(Lanczos\); layers do 2"),
    ({"resample": None}, "resample is missing"),
    ({"resample": 9}, "resample is 9"),
    ({"image_mean": [0.5, 0.5]}, "image_mean has 2 numbers, and the model takes images of 3"),
    ({"image_mean": None}, "image_mean is missing"),
    ({"image_std": [0.5, 0.5, 0]}, "image_std is .*nothing can be divided"),
    ({"image_std": ["a"] * 3}, "image_std is "),
    ({"rescale_factor": 1 / 127.5}, "rescale_factor is 0.0078.*not 1/255"),
    ({"do_rescale": False}, "do_rescale is false"),
    ({"do_rescale": "no"}, "do_rescale is no; give true or false"),
    ({"do_flip_channel_order": True}, "do_flip_channel_order is True, which no layer does"),
    ({"do_pad": True}, "do_pad is True"),
    ({"rescale_offset": True}, "rescale_offset moves the images"),
    ({"size": None}, "size is missing"),
    ({"size": {"height": 16}}, "size is .*give height and width"),
    ({"size": {"height": 10**9, "width": 16}}, "size is "),
    ({"size": {"shortest_edge": 16, "longest_edge": 20}}, "size is "),
    ({"do_center_crop": True, "crop_size": -1}, "crop_size is -1"),
    ({"image_processor_type": "LevitImageProcessor"}, "unknown image_processor_type 'Levit"),
    ({"image_processor_type": None}, "it has no image_processor_type"),
]


@pytest.mark.parametrize(("changes", "message"), STRANGE, ids=[str(c) for c, _ in STRANGE])
def test_a_strange_processor_is_refused_by_name(folder, changes, message):
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_huggingface(folder)
    assert "preprocessor_config.json: " in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"size": 20}, Preprocessing((20, 20))),
        ({"size": {"shortest_edge": 20}, "resample": 3}, Preprocessing(20, None, "bicubic")),
        ({"do_center_crop": True, "crop_size": 12}, Preprocessing((16, 16), (12, 12))),
        ({"do_resize": False, "size": None, "resample": None}, Preprocessing()),
        ({"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": 16},
         Preprocessing(20, (16, 16))),
        ({"image_processor_type": "ConvNextFeatureExtractor", "size": 384},
         Preprocessing((384, 384))),
        ({"image_processor_type": "ViTImageProcessorFast", "do_convert_rgb": True},
         Preprocessing((16, 16))),
        ({"image_processor_type": None, "feature_extractor_type": "ViTFeatureExtractor",
          "do_rescale": None, "rescale_factor": None}, Preprocessing((16, 16))),
    ],
)  # fmt: skip
def test_processors_of_all_ages_are_read(folder, changes, right):
    rewrite(folder, **changes)
    found = read_huggingface(folder)
    assert found.preprocessing == right
    assert found.statistics == ((0.5,) * 3, (0.5,) * 3)


def test_a_processor_that_does_not_normalise_leaves_the_pixels(folder):
    rewrite(folder, do_normalize=False)
    assert read_huggingface(folder).statistics is None
    images = pictures(16, 16)
    assert torch.allclose(whole(folder)(images / 255), theirs(folder, images), atol=1e-5)


def refused(folder, message, **given):
    with pytest.raises(InputError, match=message):
        build_model(f"hf:{folder}", **{"classes": 3, "shape": (3, 16, 16), **given})


def test_folders_that_cannot_be_used_are_refused(folder, tmp_path):
    refused(tmp_path / "none", "no folder ")
    refused(tmp_path, r"has no config\.json")
    refused(folder, "takes 3 channels, the images have 1", shape=(1, 16, 16))
    refused(folder, "tells 3 classes apart, not 10; .* --classes FILE", classes=10)
    refused(folder, "takes no options", options={"width": 2})
    refused(folder, "brings its weights; leave --pretrained out", pretrained=True)
    (folder / "preprocessor_config.json").rename(tmp_path / "kept")
    refused(folder, r"has no preprocessor_config\.json, .*processor\.save_pretrained\(folder\)")


def test_pickled_weights_alone_are_refused_and_not_opened(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    refused(folder, r"has no model\.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    refused(
        folder, r"pytorch_model\.bin alone, which could run code and is not read;\nsave them as"
    )


def test_damaged_and_incomplete_weights_are_refused(folder):
    path = folder / "model.safetensors"
    state = load_file(path)
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[:-10])
    refused(folder, "is not a whole safetensors file")
    key = "classifier.weight"
    save_file({k: v for k, v in state.items() if k != key}, path, metadata={"format": "pt"})
    refused(folder, rf"1 weights are missing in its files: {key}")
    save_file({**state, key: state[key][:2].clone()}, path, metadata={"format": "pt"})
    refused(folder, "")
    save_file({**state, key: state[key] * torch.nan}, path, metadata={"format": "pt"})
    refused(folder, f"{key} holds NaN")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "of-nobody", "auto_map": {"AutoConfig": "evil.C",
          "AutoModelForImageClassification": "evil.M"}}, "cannot be built by transformers"),
        ({"model_type": None}, "names no model_type"),
        ({"attn_implementation": "somebody/kernels"}, "whose code would have to be fetched"),
        ({"_attn_implementation": "somebody/kernels"}, "whose code would have to be fetched"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label does not name the outputs from 0 on"),
        ({"id2label": {"0": "a"}}, "id2label names 1 outputs"),
        ({"id2label": None, "num_labels": "many"}, "num_labels is many"),
        ({"num_channels": 0}, "num_channels is 0"),
        ({"hidden_size": -3}, "cannot be built by transformers"),
        ({"hidden_size": 24}, ""),
    ],
)  # fmt: skip
def test_strange_configurations_are_refused_and_no_code_is_run(folder, changes, message):
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")
    rewrite(folder, "config.json", **changes)
    refused(folder, message)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', "\x00", '{"a":' * 5000])
def test_hostile_json_is_refused_with_its_name(folder, name, text):
    (folder / name).write_text(text)
    refused(folder, name.replace(".", r"\."))


def images_of(tmp_path, names, side=16):
    for i, name in enumerate(names):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(2):
            picture = torch.randint(0, 256, (side, side, 3), dtype=torch.uint8).numpy()
            Image.fromarray(picture).save(tmp_path / "images" / name / f"{i}{k}.png")
    return tmp_path / "images"


def evaluated(folder, data, out, *more):
    words = ["evaluate", "--data", data, "--model", f"hf:{folder}", "--eps", "4/255"]
    words += ["--suite", "quick", "--batch-size", "8", "--out", out, *more]
    return run([str(each) for each in words])


def test_the_command_finds_outputs_by_their_names_and_records_everything(written, tmp_path, capsys):
    # Alphabetical, and so in another order than the model's.
    data = images_of(tmp_path, ("bird", "dog"), side=24)
    assert evaluated(written / "vit", data, tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert "images of 24×24 are resized (bilinear) to 16×16" in told
    assert "random weights" not in told
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    identity = record["config"]["identity"]
    assert identity["preprocessing"] == {
        "resize": [16, 16], "crop": None, "interpolation": "bilinear"
    }  # fmt: skip
    assert identity["normalisation"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert (
        identity["weights"]["fingerprint"] == weights_inside(f"hf:{written / 'vit'}")["fingerprint"]
    )
    assert record["classes"] == list(NAMES)
    assert evaluated(written / "vit", data, tmp_path / "out") == 0  # it is only read


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (("bird", "cow"), (), "cow is none of the model's 3 (cat, dog, bird); say which outputs"),
        (("cat", "dog"), ("--pretrained",), "brings its weights"),
        (("cat", "dog"), ("--preprocessing", "both"), "unknown preprocessing 'both'"),
    ],
)
def test_bad_commands_end_with_2(written, tmp_path, capsys, names, more, message):
    data = images_of(tmp_path, names)
    assert evaluated(written / "vit", data, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err


def test_bad_folders_end_with_2(folder, tmp_path, capsys):
    data = images_of(tmp_path, ("cat", "dog"))
    assert evaluated(tmp_path / "none", data, tmp_path / "out") == 2
    assert "no folder" in capsys.readouterr().err
    rewrite(folder, resample=1)
    assert evaluated(folder, data, tmp_path / "out") == 2
    assert "Lanczos" in capsys.readouterr().err


def test_a_file_of_classes_may_name_the_models_own_outputs(written, tmp_path, capsys):
    data = images_of(tmp_path, ("hound", "sparrow"))
    (tmp_path / "classes.txt").write_text("hound: dog\nsparrow: bird\n")
    more = ("--classes", tmp_path / "classes.txt")
    assert evaluated(written / "vit", data, tmp_path / "out", *more) == 0
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert record["classes"] == ["cat", "hound", "sparrow"]
    (tmp_path / "classes.txt").write_text("hound: dog\nsparrow: bud\n")
    assert evaluated(written / "vit", data, tmp_path / "out", *more) == 2
    assert "unknown class of the model 'bud'; did you mean 'bird'" in capsys.readouterr().err


def test_without_transformers_it_is_refused_in_a_line(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(written / "vit", r"transformers is not installed: pip install 'saddlepoint\[hf\]'")


def test_a_training_goes_on_from_its_weights_and_is_measured_by_its_folder(
    written, tmp_path, capsys
):
    data = images_of(tmp_path, ("bird", "dog"))
    given = ["train", "--data", data, "--model", f"hf:{written / 'vit'}", "--recipe", "standard"]
    out = ["--epochs", "1", "--set", "batch_size=2", "--out", tmp_path / "run"]
    assert run([str(each) for each in (*given, *out)]) == 0, capsys.readouterr().err
    more = ("--weights", tmp_path / "run")
    assert evaluated(written / "vit", data, tmp_path / "out", *more) == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "out/evaluation.json").read_text())
    identity = record["config"]["identity"]
    assert identity["weights"]["file"] == str(tmp_path / "run")
    assert identity["preprocessing"]["resize"] == [16, 16]
    assert record["classes"] == list(NAMES)


def test_a_study_does_not_take_what_is_trained_already(written, tmp_path, capsys):
    text = f"""
name: s
data: digits
model: {{name: "hf:{written / "vit"}"}}
eps: [0.1]
attacks: {{pgd: {{name: pgd}}}}
variants: {{original: []}}
"""
    (tmp_path / "s.yaml").write_text(text)
    assert run(["study", "run", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "s")]) == 2
    assert "is trained already; a study trains its models" in capsys.readouterr().err
