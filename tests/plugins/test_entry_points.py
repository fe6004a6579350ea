"""Components of installed packages: in every list and by name; broken ones, and names claimed twice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli.commandline import cli_fixture, refused_fixture  # noqa: F401
from plugins import pages
from sampled import mostly_slow

from saddlepoint.configuration import configuration
from saddlepoint.plugins import registry

MODULES = ("signs", "mine", "noisy", "beyond", "broken")


@pytest.fixture(scope="module", name="site")
def site_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    return pages.install([pages.documented_wheel(folder)], folder / "site")


@pytest.fixture(name="installed")
def installed_fixture(site, tmp_path, monkeypatch):
    """See the packages in some folders, in this process, as if it had begun with them."""
    monkeypatch.chdir(tmp_path)

    def see(*folders):
        for folder in (site, *folders):
            monkeypatch.syspath_prepend(folder)
        registry._points.cache_clear()

    see()
    yield see
    for name in MODULES:
        sys.modules.pop(name, None)
    registry._points.cache_clear()


SHORT = {
    "attacks": "random-signs",
    "defences": "half-and-half largest-weight leaky",
    "models": "linear",
    "data": "noisy-digits",
}


@pytest.mark.parametrize("command", mostly_slow(SHORT, quick=["attacks", "models"]))
def test_lists_show_what_is_installed(cli, installed, command):
    found = cli(command, "--json")
    rows = {row[command.removesuffix("s")]: row for row in found.json}
    for name in SHORT[command].split():
        assert rows[name]["from"] == "saddlepoint-signs 1.0"
    assert all(row["from"] == "" for name, row in rows.items() if name not in SHORT[command])
    shown = cli(command)
    assert "saddlepoint-sig" in shown.out  # a narrow column breaks the name
    assert shown.err == ""


def test_short_names_do_what_files_do(cli, installed, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "objective: {name: half-and-half, attack: {name: random-signs, eps: 0.1, draws: 2}}\n"
        "penalties: [{name: largest-weight, weight: 0.001}]\n"
        "transforms: [leaky]\nepochs: 1\n"
    )
    common = ["--data", "noisy-digits", "--model", "linear", "--limit", "60"]
    assert cli("train", *common, "--recipe", "mine.yaml", "--out", "run").status == 0
    run = (tmp_path / "run" / "run.json").read_text()
    assert run.count("saddlepoint-signs 1.0") >= 4
    # A package that is installed is code that the user chose: its transform needs no word more.
    weights = ["--weights", "run", "--eps", "0.1"]
    attacked = cli("attack", *common, *weights, "--attack", "random-signs", "--out", "a", "--json")
    assert attacked.status == 0, attacked
    assert "saddlepoint-signs 1.0" in json.dumps(attacked.json)


@pytest.mark.filterwarnings("default")
def test_a_package_that_cannot_be_imported(cli, refused, installed, tmp_path):
    points = {"saddlepoint.attacks": {"broken": "broken:Attack", "nameless": "signs:Nothing"}}
    bad = pages.wheel(tmp_path, "bad", "0.1", points, broken="import no_such_package\n")
    installed(pages.install([bad], tmp_path / "bad"))
    listed = cli("attacks", "--json")
    assert listed.status == 0
    assert [line.split(":")[1].strip() for line in listed.err.splitlines()] == [
        "the attack 'broken' of bad 0.1 cannot be loaded",
        "the attack 'nameless' of bad 0.1 cannot be loaded",
    ]
    words = ["--data", "digits", "--model", "zoo:simple-cnn", "--eps", "0.1", "--out", "out"]
    assert "'broken' of bad 0.1 cannot be loaded: ModuleNotFoundError" in refused(
        "attack", *words, "--attack", "broken"
    )
    assert cli("attack", *words, "--attack", "random-signs", "--limit", "2").status == 0


@pytest.mark.parametrize("name", ["pgd", "report-pgd", "random-signs"])
def test_a_name_that_two_claim_is_an_error(refused, cli, installed, tmp_path, name):
    clash = pages.wheel(
        tmp_path, "other", "2.0", {"saddlepoint.attacks": {name: "signs:RandomSigns"}}
    )
    installed(pages.install([clash], tmp_path / "other"))
    other = "saddlepoint-signs 1.0" if name == "random-signs" else "saddlepoint"
    words = ["--data", "digits", "--model", "zoo:simple-cnn", "--eps", "0.1", "--out", "out"]
    for message in (refused("attack", *words, "--attack", name), refused("attacks")):
        assert f"the attack '{name}' is both" in message
        assert other in message
        assert "other 2.0" in message
    assert cli("attack", *words, "--attack", "fgsm", "--limit", "2").status == 0


def test_one_of_our_data_sets_that_another_claims_is_an_error(refused, installed, tmp_path):
    points = {"saddlepoint.data": {"digits": "signs:noisy_digits"}}
    installed(pages.install([pages.wheel(tmp_path, "other", "2.0", points)], tmp_path / "other"))
    words = ["--data", "digits", "--model", "zoo:simple-cnn", "--eps", "0.1", "--out", "out"]
    assert "the data set 'digits' is both" in refused("attack", *words, "--attack", "fgsm")


def test_only_the_package_of_a_plugin_is_marked(installed, tmp_path):
    """A package that offers something of another's does not make that its own."""
    from saddlepoint.attacks import ATTACKS, PGD
    from saddlepoint.threat import Linf

    points = {"saddlepoint.attacks": {"lent": "saddlepoint.attacks:PGD"}}
    installed(pages.install([pages.wheel(tmp_path, "lender", "1", points)], tmp_path / "lender"))
    before = configuration(PGD(Linf(0.1)))
    assert ATTACKS.find("lent").build is PGD
    assert configuration(PGD(Linf(0.1))) == before


def test_nothing_is_imported_before_it_is_named(site):
    """In a process of its own, as a user runs it; and no torch for the help."""
    code = (
        "import sys; from saddlepoint.cli import run; run(['--help']);"
        "assert 'torch' not in sys.modules; import saddlepoint.attacks as a;"
        "assert a.build_attack('pgd', a.registry.NORMS['linf'](0.1)); assert 'random-signs' in a.ATTACKS;"
        "import torch; from saddlepoint.zoo.nearest import near_architectures as near;"
        "near({'a.weight': torch.zeros(3, 2)});"
        "from saddlepoint.defences.build import build_transform, transforms_of;"
        "transforms_of({'recipe': {'transforms': [{'type': 'saddlepoint.defences.quantisation.quantise'}]}});"
        "assert 'signs' not in sys.modules; a.attack_info('random-signs'); assert 'signs' in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**_environment(), "PYTHONPATH": _path(site)}
    )


def _environment():
    import os

    return dict(os.environ)


def _path(site):
    import os

    return os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
