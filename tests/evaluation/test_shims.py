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


class Undone(torch.nn.Module):
    """A network of pixels that takes normalised images."""

    def __init__(self, net, mean, std):
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, x):
        return self.net(x * self.std + self.mean)


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
        (lambda net: AutoAttack(net, norm=3), "norm is 3; give"),
        (lambda net: AutoAttack(net, version=3), "version is 3; give"),
        (lambda net: AutoAttack(net, seed=-1), "seed is -1; give"),
        (lambda net: setattr(AutoAttack(net), "seed", -1), "seed is -1; give"),
        (lambda net: AutoAttack(net, log=3), "log is 3; give"),
        (lambda net: AutoAttack(net, log_path=3), "log_path is 3; give"),
        (lambda net: AutoAttack(net, attacks_to_run=None), "attacks_to_run is None; give"),
        (lambda net: AutoAttack(net, version="custom", attacks_to_run=[3]), "has 3; give"),
        (lambda net: TorchattacksStyle("pgd", net), "attack is 'pgd'; give an attack"),
        (lambda net: setattr(style(net), "attack", PGD), "give an attack"),
        (lambda net: TorchattacksStyle(PGD(Linf(0.1)), net, seed=-1), "seed is -1; give"),
        (lambda net: style(net).save([X]), "batch 0 of the loader is a Tensor; give pairs"),
        (lambda net: style(net).save([(X, Y), (X, Y, Y)]), "batch 1 .* is a tuple of 3; give"),
        (lambda net: style(net).save(None), "the loader is a NoneType; give"),
        (lambda net: style(net).save([(X, Y)], 3), "save_path is 3; give"),
        (lambda net: style(net).load(3), "load_path is 3; give"),
        (lambda net: style(net).set_device("nonsense"), "the model is on cpu"),
        (lambda net: style(net).set_normalization_used(0.5, 0.2), "a number for each channel"),
        (lambda net: style(net)(torch.tensor(0.5), Y), r"images have shape \(\); give"),
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
        ("standard", "L1", "apgd-ce apgd-t fab-t square", (5, 5, 1, 1)),
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
    atk = TorchattacksStyle(PGD(Linf(0.05), steps=10), Undone(net, m, s))
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


BOX = torch.rand(2, 3, 2, 2)


@pytest.mark.parametrize("call", ["clean_accuracy", "run_standard_evaluation"])
@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (Y[:, None], r"shape \(2, 1\) for 2 images"),
        (Y[:1], r"shape \(1,\) for 2 images"),
        (torch.eye(2).long(), r"shape \(2, 2\)"),
        (Y.float(), "float32"),
        (Y + 90, "span 90 … 91, but the model has 4 classes"),
        (Y - 1, "span -1 … 0"),
    ],
)
def test_labels_that_are_none_are_refused(call, labels, word):
    adversary = AutoAttack(torch.nn.Flatten(), eps=0.1, version="quick")
    with pytest.raises(InputError, match=f"labels .*{word}"):
        getattr(adversary, call)(X, labels)


@pytest.mark.parametrize(
    ("targets", "word"),
    [
        (lambda y: y[:, None], r"targets have shape \(2, 1\)"),
        (lambda y: y + 90, "targets span 90"),
        (lambda y: None, "targets are a NoneType"),
    ],
)
def test_targets_that_are_none_are_refused(targets, word):
    atk = style(torch.nn.Flatten())
    atk.set_mode_targeted_by_function(lambda images, labels: targets(labels))
    with pytest.raises(InputError, match=word):
        atk(X, Y)
    atk.set_mode_targeted_least_likely()
    with pytest.raises(InputError, match="labels span 90"):
        atk(X, Y + 90)


@pytest.mark.parametrize(
    ("images", "word"),
    [
        ((BOX * 255).to(torch.uint8), "uint8, but set_normalization_used says"),
        ((BOX * 255).long(), "int64, but set_normalization_used says"),
        (BOX[:, :1], r"\(2, 1, 2, 2\), the normalisation that is used is of 3 channels"),
    ],
)
def test_what_is_not_normalised_is_refused_where_it_is_declared(images, word, tmp_path):
    atk = style(torch.nn.Flatten())
    atk.set_normalization_used((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    for call in (
        lambda: atk(images, Y),
        lambda: atk.save([(images, Y)], tmp_path / "a.pt", save_clean_inputs=True),
    ):
        with pytest.raises(InputError, match=word):
            call()
    eight = (BOX * 255).round().to(torch.uint8)
    torch.testing.assert_close(atk.inverse_normalize(atk.normalize(eight)), eight / 255)


@pytest.mark.parametrize("kind", ["float", "int"])
def test_saved_images_are_pixels_and_do_not_depend_on_the_batch(kind, tmp_path):
    net, images, labels = conv_case(12)
    images, path = (images * 255).round() / 255, tmp_path / "adv.pt"
    atk = TorchattacksStyle(PGD(Linf(8 / 255), steps=2), net)
    atk.set_mode_targeted_random()
    asked = {"load_predictions": True, "load_clean_inputs": True}

    def saved(given, batch_size):
        loader = DataLoader(TensorDataset(given, labels), batch_size=batch_size)
        atk.save(loader, path, save_predictions=True, save_clean_inputs=True, save_type=kind)
        return next(iter(atk.load(path, **asked)))

    whole = saved(images, 12)
    assert torch.equal(whole[3], images)
    for one, other in zip(whole, saved(images, 5), strict=True):
        torch.testing.assert_close(one, other)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    m, s = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (mean, std))
    atk.model = Undone(net, m, s)
    atk.set_normalization_used(mean, std)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the rounding that normalising leaves
        adversarials, _, _, clean = saved((images - m) / s, 5)
    torch.testing.assert_close(clean, images)
    assert float((adversarials - images).abs().max()) <= 8 / 255 + 1e-5
    assert float(adversarials.min()) >= 0
    (again, *_) = next(iter(atk.load(path, normalize={"mean": mean, "std": std})))
    torch.testing.assert_close(again, (adversarials - m) / s)


def test_nothing_is_printed_unless_log_is_print(capsys):
    for log, lines in ((None, 0), (print, 1)):
        AutoAttack(torch.nn.Flatten(), eps=0.1, log=log).clean_accuracy(X, Y)
        assert capsys.readouterr().out.count("clean accuracy") == lines
