"""The page of a report in a real browser: every figure loads, nothing is said on the console, and
it fits a narrow window.
"""

from __future__ import annotations

import pytest
from reports.browser import CHROMIUM, browse, check
from studies.synthetic import synthetic

from saddlepoint.reports.study.toy import toy_examples, toy_model
from saddlepoint.reports.study.write import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    results = synthetic(
        model=toy_model, examples=toy_examples, seeds=3, missing=("train original, seed 9",),
        config={"name": "synthetic", "long": "x" * 400}, attacks=("pgd", "fgsm"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("report")
    files = write_report(results, folder, figures=(2, 7, 8, 9, 13, 21))
    return files.index.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_readable_and_complete(page, width, tmp_path):
    seen, console = check(page, width, tmp_path)
    assert seen["images"] == [True] * 6
    assert console == []
    assert seen["said"] == []
    assert seen["width"] == width
    assert seen["scroll"] <= seen["inside"]  # tables and figures scroll inside their own frame
    assert seen["wide"] == []
    assert seen["small"] == 0
    assert min(seen["shown"]) >= 0.85 * width if width == 400 else min(seen["shown"]) > 400
    assert seen["background"] == "rgb(255, 255, 255)"


def test_the_page_opens_as_a_file_without_a_word_on_the_console(page, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(page, encoding="utf-8")
    dom, console = browse(path, tmp_path)
    assert console == []
    assert 'id="figure-21"' in dom


def test_what_is_wrong_is_seen(page, tmp_path):
    """The check itself: a broken picture, a wide element and an error are found."""
    broken = page.replace("data:image/png;base64,iVBOR", "data:image/png;base64,AAAA", 1)
    broken = broken.replace("<h2>Tables", '<div style="width:3000px">wide</div><h2>Tables', 1)
    broken = broken.replace("</body>", '<img src="https://example.org/a.png"></body>')
    seen, console = check(broken, 400, tmp_path)
    assert seen["images"].count(False) == 2
    assert seen["scroll"] >= 3000
    assert "DIV" in seen["wide"]
    assert any("Content Security Policy" in line for line in console)
