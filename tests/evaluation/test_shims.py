"""Other libraries' calls, with our attacks behind them."""

from __future__ import annotations

import warnings

import pytest
import torch
from networks import conv_case
from torch.utils.data import DataLoader, TensorDataset

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import AutoAttack, TorchattacksStyle
from saddlepoint.threat import Linf

X, Y = torch.rand(2, 4), torch.tensor([0, 1])


def style(net):
    return TorchattacksStyle(PGD(Linf(0.1), steps=2), net)


def test_an_attack_is_called_with_images_and_labels():
    net, images, labels = conv_case(24)
    atk = TorchattacksStyle(PGD(Linf(0.05), steps=10), net)
    found = atk(images, labels)
    assert torch.equal(found, PGD(Linf(0.05), steps=10)(net, images, labels).adversarials)
    assert (net(found).argmax(1) != labels).float().mean() > 0.8


def test_labels_may_be_targets():
    net, images, labels = conv_case(24)
    targets = (labels + 1) % 5
    atk = TorchattacksStyle(PGD(Linf(0.3), steps=30), net)
    atk.set_mode_targeted_by_label()
    reached = net(atk(images, targets)).argmax(1) == targets
    assert reached.float().mean() > 0.8
    atk.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % 5)
    assert torch.equal(net(atk(images, labels)).argmax(1) == targets, reached)
    atk.set_mode_default()
    assert (net(atk(images, labels)).argmax(1) != labels).float().mean() > 0.9


def test_autoattack_keeps_what_each_attack_fooled():
    net, images, labels = conv_case(40)
    lines = []
    judge = AutoAttack(net, norm="Linf", eps=0.02, version="quick", verbose=True, log=lines.append)
    found, predicted = judge.run_standard_evaluation(images, labels, bs=16, return_labels=True)
    with torch.no_grad():
        assert torch.equal(net(found).argmax(1), predicted)
    assert float((found - images).abs().max()) <= 0.02 + 1e-6
    fooled = predicted != labels
    each = judge.run_standard_evaluation_individual(images, labels, bs=16)
    assert list(each) == judge.attacks_to_run
    with torch.no_grad():
        any_ = torch.stack([net(x).argmax(1) != labels for x in each.values()]).any(0)
    assert torch.equal(fooled, any_)
    assert 0 < int(fooled.sum()) < 40
    assert lines[-1] == f"robust accuracy: {float((~fooled).double().mean()):.2%}"
    assert lines[1] == f"initial accuracy: {judge.clean_accuracy(images, labels):.2%}"
    assert sum("successfully perturbed" in line for line in lines) >= 3


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda net: AutoAttack(net, norm="L3"), "unknown norm"),
        (lambda net: AutoAttack(net, version="more"), "unknown version 'more'"),
        (lambda net: AutoAttack(net, norm="L0", eps=1), "AutoAttack has no L0"),
        (lambda net: AutoAttack(net, attacks_to_run=["fab"]), 'give version="custom"'),
        (lambda net: AutoAttack(net, attacks_to_run=["fba"], version="custom"), "mean 'fab'"),
        (lambda net: AutoAttack(net, is_tf_model=True), "is_tf_model"),
        (lambda net: AutoAttack(net, version="custom").suite, "attacks_to_run is empty"),
        (lambda net: AutoAttack(net).cheap(), "AutoAttack's cheap is not here"),
        (lambda net: setattr(AutoAttack(net), "norm", "L2"), "norm cannot be set"),
        (lambda net: setattr(AutoAttack(net).apgd, "loss", "ce"), "apgd.loss is not here"),
        (lambda net: AutoAttack(net).run_standard_evaluation(X, Y, state_path="s"), "state_path"),
        (lambda net: AutoAttack(net, log_path="/no/such").clean_accuracy(X, Y), "cannot write"),
        (lambda net: style(net).forward(X, Y), "torchattacks' forward is not here"),
        (
            lambda net: setattr(style(net), "eps", 0.1),
            "eps cannot be set: the settings are those of",
        ),
        (lambda net: setattr(style(net), "device", "cpu"), "device cannot be set"),
        (lambda net: style(net).set_return_type("half"), "give float or int"),
        (
            lambda net: style(net).set_model_training_mode(batchnorm_training=True),
            "evaluation mode",
        ),
        (lambda net: style(net).set_device("cuda"), "the model is on cpu"),
        (lambda net: style(net).normalize(X), "call set_normalization_used first"),
        (lambda net: style(net).save([], "x.pt"), "the loader is empty"),
        (lambda net: style(net).load("no-such.pt"), "cannot read no-such.pt"),
        (lambda net: AutoAttack(net, eps=-1), "positive"),
    ],
)
def test_what_makes_no_sense_is_refused(build, word):
    with pytest.raises(InputError, match=word):
        build(torch.nn.Flatten())
    assert not hasattr(style(torch.nn.Flatten()), "forward")


@pytest.mark.parametrize(
    ("version", "norm", "names", "settings"),
    [
        ("standard", "Linf", "apgd-ce apgd-t fab-t square", (1, 9, 1, 1)),
        ("standard", "L1", "apgd-ce apgd-t fab-t", (5, 5, 1, 1)),
        ("plus", "L2", "apgd-ce apgd-dlr fab square apgd-t fab-t", (5, 9, 5, 1)),
        ("rand", "Linf", "apgd-ce apgd-dlr", (1, 9, 5, 20)),
    ],
)
def test_the_versions_are_autoattacks(version, norm, names, settings):
    adversary = AutoAttack(torch.nn.Flatten(), norm=norm, eps=0.1, version=version)
    assert adversary.attacks_to_run == names.split()
    apgd, fab = adversary.apgd, adversary.fab
    classes = adversary.apgd_targeted.n_target_classes
    assert (apgd.n_restarts, classes, fab.n_restarts, apgd.eot_iter) == settings
    suite = adversary.suite
    assert suite["apgd-ce"].restarts == apgd.n_restarts
    assert suite["apgd-ce"].eot_samples == apgd.eot_iter
    assert suite["apgd-ce"].steps == 100
    if "apgd-t" in suite:
        assert (suite["apgd-t"].loss, suite["apgd-t"].targets) == ("dlr-targeted", classes)
        assert suite["fab-t"].attack.targets == 9
    if "fab" in suite:
        assert (suite["fab"].attack.targets, suite["fab"].attack.restarts) == (None, 5)


def test_a_custom_version_is_set_as_its_users_set_it(tmp_path):
    net, images, labels = conv_case(24)
    log = tmp_path / "log.txt"
    options = {"norm": "Linf", "eps": 0.02, "version": "custom", "log_path": str(log)}
    adversary = AutoAttack(net, attacks_to_run=["apgd-ce"], **options)
    adversary.attacks_to_run = ["apgd-dlr", "pgd"]
    adversary.apgd.n_restarts, adversary.apgd.n_iter = 2, 10
    assert (adversary.suite["apgd-dlr"].restarts, adversary.suite["pgd"].threat.eps) == (2, 0.02)
    found = adversary.run_standard_evaluation(images, labels, bs=250)
    text = log.read_text()
    assert "using custom version including apgd-dlr, pgd\n" in text
    assert "robust accuracy after APGD-DLR:" in text
    right = net(found).argmax(1) == labels
    assert text.endswith(f"robust accuracy: {float(right.double().mean()):.2%}\n")
    adversary.set_version("quick")
    assert adversary.attacks_to_run == ["fgsm", "apgd", "apgd-margin"]


def test_normalised_images_are_attacked_in_pixels():
    net, images, labels = conv_case(16)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    m, s = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std))

    class Undone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x * s + m)

    atk = TorchattacksStyle(PGD(Linf(0.05), steps=10), Undone())
    atk.set_normalization_used(mean=mean, std=std)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the rounding that normalising leaves
        found = atk((images - m) / s, labels)
    pixels = found * s + m
    assert float((pixels - images).abs().max()) <= 0.05 + 1e-5
    assert torch.equal(net(pixels).argmax(1) != labels, atk.result.success)
    assert atk.result.success_rate > 0.8


def test_targets_are_chosen_as_their_modes_say():
    net, images, labels = conv_case(24, wrong=0)
    atk = TorchattacksStyle(PGD(Linf(0.3), steps=30), net)
    assert (atk.get_mode(), atk.targeted) == ("default", False)
    for mode, words in (
        (atk.set_mode_targeted_random, "targeted(random)"),
        (atk.set_mode_targeted_least_likely, "targeted(least-likely)"),
    ):
        mode(quiet=True)
        assert (atk.get_mode(), atk.targeted) == (words, True)
        found = atk(images, labels)
        assert torch.equal(found, atk(images, labels))
        moved = net(found).argmax(1)
        assert bool((moved[atk.result.success] != labels[atk.result.success]).all())
    least = net(images).argmin(1)
    hit = atk.result.success
    assert torch.equal(moved[hit], least[hit])
    assert hit.float().mean() > 0.3


def test_eight_bit_results_stay_in_the_budget_and_files_are_read_back(tmp_path):
    net, images, labels = conv_case(24)
    images = (images * 255).round() / 255
    lines = []
    atk = TorchattacksStyle(PGD(Linf(8.4 / 255), steps=10), net, log=lines.append)
    atk.set_return_type("int")
    found = atk(images, labels)
    assert found.dtype == torch.uint8
    assert int((found.int() - (images * 255).round().int()).abs().max()) == 8
    atk.set_return_type("float")
    loader, path = DataLoader(TensorDataset(images, labels), batch_size=10), tmp_path / "adv.pt"
    told = atk.save(
        loader, str(path), return_verbose=True, save_predictions=True, save_clean_inputs=True
    )
    parts = next(iter(atk.load(path, load_predictions=True, load_clean_inputs=True)))
    adversarials, kept, predictions, clean = parts
    assert torch.equal(clean, images)
    assert torch.equal(kept, labels)
    assert torch.equal(net(adversarials).argmax(1), predictions)
    assert told[0] == pytest.approx(100 * float((predictions == labels).double().mean()))
    assert f"Robust accuracy: {told[0]:.2f} %" in lines[0]
    atk.save(loader, path, save_type="int")
    (eight, _) = next(iter(atk.load(path)))
    assert torch.equal(eight, (eight * 255).round() / 255)
    with pytest.raises(InputError, match="has no preds; it was not saved"):
        atk.load(path, load_predictions=True)
