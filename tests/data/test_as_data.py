"""Whatever holds labelled images becomes the same data set, or is refused with what was seen."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from small import digits, trained
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from saddlepoint.attacks import FGSM
from saddlepoint.data import as_data, data_identity
from saddlepoint.data.collected import Collected
from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.threat import Linf
from saddlepoint.training import train

DIGITS = digits(limit=96)
X, Y = DIGITS.pixels, DIGITS.labels
BYTES = (X * 255).round().to(torch.uint8)
FINGERPRINT = as_data((X, Y)).fingerprint
EIGHT_BIT = as_data((BYTES, Y)).fingerprint


class Items(Dataset):
    def __init__(self, image=X.__getitem__, label=lambda i: int(Y[i])):
        self.image, self.label = image, label

    def __len__(self):
        return len(Y)

    def __getitem__(self, i):
        return self.image(i), self.label(i)


class Stream(IterableDataset):
    """A stream over one iterator, or over a new one each time."""

    def __init__(self, once=False):
        self.rest = iter(self.all()) if once else None

    def all(self):
        return [(X[i], Y[i]) for i in range(len(Y))]

    def __iter__(self):
        return self.rest or iter(self.all())


def picture(i):
    return Image.fromarray(BYTES[i, 0].numpy())


FORMS = {
    "tensors": (X, Y),
    "half precision": (X.double(), Y.to(torch.int16)),
    "arrays": (X.numpy(), Y.numpy()),
    "a list of labels": (X.numpy(), Y.tolist()),
    "lists": [list(X), Y.tolist()],
    "a TensorDataset": TensorDataset(X, Y),
    "a Dataset": Items(),
    "a Dataset of arrays": Items(lambda i: X[i].numpy(), lambda i: np.int64(Y[i])),
    "a Subset": Subset(Items(), range(96)),
    "a list of samples": Stream().all(),
    "a DataLoader": DataLoader(Items(), batch_size=10),
    "a DataLoader without batches": DataLoader(Items(), batch_size=None),
    "a stream": Stream(),
    "a DataLoader of a stream": DataLoader(Stream(), batch_size=7),
}
EIGHT_BITS = {
    "8-bit arrays": (BYTES.numpy(), Y),
    "8-bit numbers": (BYTES.long(), Y),
    "images in one channel without an axis": (BYTES[:, 0], Y),
    "pictures": Items(picture),
    "8-bit tensors": Items(BYTES.__getitem__),
}


@pytest.mark.parametrize("form", [*FORMS, *EIGHT_BITS])
def test_every_form_is_the_same_data(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = as_data({**FORMS, **EIGHT_BITS}[form])
    assert data.fingerprint == (FINGERPRINT if form in FORMS else EIGHT_BIT)
    assert data.pixels.dtype == (torch.float32 if form in FORMS else torch.uint8)
    assert data.classes == tuple("0123456789")


def test_pairs_share_their_memory_and_names_may_be_given():
    assert as_data((X, Y)).pixels.data_ptr() == X.data_ptr()
    array = X.numpy()
    assert as_data((array, Y)).pixels.data_ptr() == array.ctypes.data
    data = as_data((X, Y), classes=[f"digit {i}" for i in range(10)], name="mine")
    assert (data.name, data.classes[3]) == ("mine", "digit 3")
    assert as_data(data) is data


def test_channels_that_stand_last_are_told():
    colours = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3), np.uint8)
    for given in ((colours, [0, 1, 2, 0]), [(image, 0) for image in colours]):
        with pytest.warns(UserWarning, match=r"\(4, 8, 9, 3\) were taken for \(n, height, width"):
            data = as_data(given)
        assert torch.equal(data.pixels[1], torch.from_numpy(colours[1]).permute(2, 0, 1))
    assert as_data([(Image.fromarray(image), 0) for image in colours]).shape == (3, 8, 9)


def test_a_loader_that_shuffles_is_told_and_leaves_the_global_state():
    loader = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)
    before = torch.random.get_rng_state()
    with pytest.warns(
        UserWarning, match="DataLoader shuffles: an image's id is its place in the f"
    ):
        data = as_data(loader)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.warns(UserWarning, match="shuffles"):
        assert as_data(loader).fingerprint == data.fingerprint != FINGERPRINT
    assert sorted(data.labels.tolist()) == sorted(Y.tolist())


class Tagged(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return {"pixel_values": X[i], "label": 0}


BAD = {
    "cannot be read": (iter(FORMS["a list of samples"]), "list_iterator can be read only once"),
    "a generator": ((pair for pair in Stream().all()), "a generator can be read only once"),
    "spent": (Stream(once=True), "the Stream is empty when it is read again"),
    "spent loader": (DataLoader(Stream(once=True)), "the DataLoader is empty when it is read agai"),
    "augmented": (
        DataLoader(Items(lambda i: X[i] * torch.rand(1)), batch_size=32),
        "other images when it is read again (random augmentation",
    ),
    "bare": (X, "images without labels; give a Dataset"),
    "a name": ("digits", "the data are the name digits; read them with load_data"),
    "a mapping": ({"image": X, "label": Y}, "a dict of image, label; give a Dataset"),
    "tagged": (Tagged(), "a sample of the data is a dict of pixel_values, label; give (image, lab"),
    "no labels": (DataLoader(TensorDataset(X)), "a list of 1 values; give (image, label)"),
    "nothing": (None, "the data are a NoneType"),
    "empty": ([], "the data hold no images"),
    "few labels": ((X, Y[:3]), "96 images but 3 labels; give one per image"),
    "one-hot": ((X, torch.eye(10)[Y]), "labels.argmax(1)"),
    "soft": (Items(label=lambda i: torch.rand(10)), "label 0 has shape (10,); give one integer"),
    "fractions": ((X, Y.float()), "labels are float32; give integers"),
    "negative": ((X, Y - 1), "label -1 of image"),
    "0 … 255": ((X * 255, Y), "span 0 … 255; they must lie in [0, 1]: divide them by 255"),
    "normalised": ((X * 2 - 1, Y), "put the normalisation inside the model"),
    "NaN": (Items(lambda i: X[i] / 0), "holds NaN or an infinity"),
    "16 bits": ((BYTES.long() * 257, Y), "integers must lie in 0 … 255"),
    "complex": ((X + 0j, Y), "images are complex64; give uint8 or float32"),
    "objects": ((np.array([None]), [0]), "images are object; give a tensor or array of numbers"),
    "five axes": ((X[None], Y[:1]), "images have shape (1, 96, 1, 8, 8); give (N, C, H, W)"),
    "shapes": (Items(lambda i: X[i][:, : 8 - i % 2]), "image 1 is (1, 7, 8) float32, image 0 (1, 8"),
    "mode": (Items(lambda i: Image.new("RGBA", (8, 8))), "PIL image of mode RGBA; convert it to RGB"),
    "texts": (Items(lambda i: "cat.png"), "image 0 is a str; give tensors, arrays or PIL images"),
}  # fmt: skip


@pytest.mark.parametrize("form", BAD)
def test_what_is_no_data_is_refused_with_what_was_seen(form):
    given, message = BAD[form]
    with pytest.raises(InputError, match=re.escape(message)) as error:
        as_data(given)
    assert str(error.value).count("\n") < 2


def test_images_that_no_memory_holds_are_refused_before_it_is_taken():
    with pytest.raises(InputError, match=r"the images take [0-9,]+ GiB, and there are"):
        Collected(10**9).add(torch.zeros(3, 224, 224), 0)


def test_evaluations_attacks_and_trainings_take_them():
    net, loader = trained(), FORMS["a DataLoader"]
    expected = evaluate(net, DIGITS, Linf(), eps=[4 / 255, 8 / 255], suite="quick", diagnosis=None)
    found = evaluate(net, loader, "Linf", eps=["4/255", 8 / 255], suite="quick", diagnosis=None)
    assert found.images.equals(expected.images)
    one = evaluate(net, FORMS["arrays"], "linf", eps="8/255", suite="quick", diagnosis=None)
    assert [budget.eps for budget in one.budgets] == [8 / 255]
    attack = FGSM(Linf(0.1))
    whole = attack(net, X, Y)
    for form in (loader, FORMS["tensors"]):
        assert torch.equal(attack(net, form).adversarials, whole.adversarials)
        assert torch.equal(run_attack(net, form, attack).result.adversarials, whole.adversarials)
    assert torch.equal(attack(net, X.numpy(), Y.tolist()).adversarials, whole.adversarials)
    with pytest.raises(InputError, match="targets goes by the rows of images"):
        attack(net, loader, targets=Y)
    assert len(train(trained(), loader, Recipe(epochs=1), test=FORMS["arrays"]).metrics) == 1


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("adversarail", "unknown recipe 'adversarail'; did you mean 'adversarial'"),
        (3, "the recipe is 3"),
    ],
)
def test_a_recipe_may_be_a_name(recipe, message):
    with pytest.raises(InputError, match=message):
        train(trained(), FORMS["arrays"], recipe)


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("autoattack", "AutoAttack's four attacks are 'standard'"),
        ("pgd", "'pgd' is an attack and no suite; give a mapping"),
        ("standrad", "did you mean 'standard'"),
    ],
)
def test_a_name_that_is_no_suite(suite, message):
    with pytest.raises(InputError, match=message):
        evaluate(trained(), FORMS["arrays"], "Linf", eps=0.1, suite=suite, diagnosis=None)


def test_budgets_and_norms_that_cannot_be_are_refused():
    for threat, eps, message in (
        ("l3", 0.1, "unknown norm 'l3'"),
        ("Linf", "eight", "eps is 'eight'"),
        ("Linf", [], "eps is empty"),
        ("Linf", float("nan"), "eps is nan"),
        ("Linf", None, "the budget of Linf.* is not given; give eps"),
        (2, 0.1, "the threat is 2; give a norm's name"),
        (Linf, 0.1, "give a norm's name"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(trained(), DIGITS, threat, eps=eps, suite="quick", diagnosis=None)


def test_images_that_a_loader_leaves_out_are_told():
    data = TensorDataset(torch.rand(20, 1, 4, 4), torch.arange(20) % 3)
    with pytest.warns(UserWarning, match="gives 16 of the 20 images of its data set"):
        assert len(as_data(DataLoader(data, batch_size=8, drop_last=True))) == 16


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_integers_of_0_and_1_are_told_to_be_nearly_black(kind):
    images = (torch.rand(4, 1, 4, 4) > 0.5).to(kind)
    with pytest.warns(UserWarning, match="nearly black"):
        as_data((images, torch.arange(4)))
    assert as_data((images.bool(), torch.arange(4))).pixels.max() == 1


def test_the_same_images_are_the_same_data_whichever_way_they_come():
    images, labels = torch.rand(6, 1, 4, 4), torch.arange(6)
    ways = (
        (images, labels),
        TensorDataset(images, labels),
        DataLoader(TensorDataset(images, labels)),
    )
    assert len({str(data_identity(as_data(each))) for each in ways}) == 1
