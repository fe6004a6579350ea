"""The pages of an evaluation, a comparison, an attack and a training in a real browser."""

from __future__ import annotations

import re

import pytest
from reports.browser import CHROMIUM, Frame, assert_readable, browse, check, chromium

from saddlepoint.cli import run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    net = ["--model", "simple-cnn", "--data", "digits"]
    trained = ["--weights", str(folder / "training")]
    eps = ["--eps", "0.05", "--eps", "0.1", "--limit", "60", "--suite", "quick"]
    commands = {
        "training": ["train", *net, "--recipe", "standard", "--epochs", "2"],
        "evaluation": ["evaluate", *net, *trained, *eps],
        "other": ["evaluate", "--model", "maxout", "--data", "digits", *eps],
        "comparison": ["compare", str(folder / "evaluation"), str(folder / "other")],
        "attack": ["attack", *net, *trained, "--attack", "pgd", "--eps", "0.1", "--limit", "40"],
    }
    for name, words in commands.items():
        assert run([*words, "--out", str(folder / name)]) == 0
    return {name: (folder / name / "report.html").read_text(encoding="utf-8") for name in commands}


@pytest.mark.parametrize("name", ["training", "evaluation", "comparison", "attack"])
def test_a_page_is_readable_in_wide_and_narrow_windows_in_light_and_in_dark(pages, name, tmp_path):
    assert_readable(pages[name], tmp_path, images=pages[name].count("<img "))


@pytest.mark.parametrize("name", ["training", "evaluation", "comparison", "attack"])
def test_on_paper_nothing_scrolls_and_nothing_is_cut_off(pages, name, tmp_path):
    page = pages[name].replace("@media print", "@media all")
    ((seen,), _) = check(page, [Frame(680, "light")], tmp_path)
    assert seen["scrolling"] == 0
    assert seen["scroll"] <= seen["inside"]
    assert seen["pale"] == []
    path = tmp_path / "page.html"
    path.write_text(pages[name], encoding="utf-8")
    chromium(path, tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_opens_as_a_file_without_a_word_on_the_console(pages, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(pages["evaluation"], encoding="utf-8")
    dom, console = browse(path, tmp_path)
    assert console == []
    assert 'id="figure-accuracy"' in dom


def test_a_filter_hides_what_is_not_asked_for(pages, tmp_path):
    """As it does when a page comes back with a choice that was made before."""
    text = pages["evaluation"]
    shown = re.search(r'<select data-filter="outcome">.*?</select>', text)
    assert shown is not None
    chosen = shown[0].replace('value="stands"', 'value="stands" selected')
    assert chosen != shown[0]
    path = tmp_path / "filtered.html"
    path.write_text(text.replace(shown[0], chosen), encoding="utf-8")
    dom, console = browse(path, tmp_path)
    assert console == []
    cards = re.findall(r'<li id="image-[^>]*data-outcome="(\w+)"[^>]*?( hidden="")?>', dom)
    assert cards
    assert all((outcome == "stands") != bool(hidden) for outcome, hidden in cards)
