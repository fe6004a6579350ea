"""The page of a report in a real browser: every figure loads, nothing is said on the console, and
it fits a narrow window, in light and in dark.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from reports.browser import CHROMIUM, Frame, assert_readable, browse, check, chromium, shell
from studies.synthetic import synthetic

from saddlepoint.reports.study.toy import toy_examples, toy_model
from saddlepoint.reports.study.write import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    results = synthetic(
        model=toy_model, examples=toy_examples, seeds=5, images=40, attacks=("pgd", "fgsm"),
        missing=("train original, seed 9",),
    )  # fmt: skip
    results.config["long"] = "x" * 400
    folder = tmp_path_factory.mktemp("report")
    figures = ("accuracy-against-eps", "training-loss", "features-original", "nine-defences-test")
    files = write_report(results, folder, figures=figures, dpi=100, pdf=False)
    return files.index.read_text(encoding="utf-8")


def test_the_page_is_readable_in_wide_and_narrow_windows_in_light_and_in_dark(page, tmp_path):
    wide, _, narrow, _ = assert_readable(page, tmp_path, images=4)
    assert min(narrow["shown"]) >= 0.85 * 400
    assert min(wide["shown"]) > 300
    assert narrow["scrolling"] > 8


def test_what_scrolls_has_a_shadow_where_there_is_more(page, tmp_path):
    ((seen,), _) = check(page, [Frame(400, "light")], tmp_path)
    only = page.replace('<nav aria-label="Contents">', '<nav style="display:none">')
    path = shell(only, [Frame(400, "light")], tmp_path)
    chromium(path, tmp_path, f"--screenshot={tmp_path / 'seen.png'}")
    picture = np.asarray(Image.open(tmp_path / "seen.png").convert("L"))[:900, :400].astype(float)
    right = round(seen["first"]["right"])
    edge, inside = (np.median(picture[500:880, slice(*at)]) for at in
                    ((right - 4, right - 1), (right - 60, right - 50)))  # fmt: skip
    assert edge < inside - 20


def test_on_paper_nothing_scrolls_and_nothing_is_cut_off(page, tmp_path):
    ((seen,), _) = check(
        page.replace("@media print", "@media all"), [Frame(680, "light")], tmp_path
    )
    assert seen["scrolling"] == 0
    assert seen["scroll"] <= seen["inside"]
    assert seen["pale"] == []


def test_the_page_opens_as_a_file_without_a_word_on_the_console(page, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(page, encoding="utf-8")
    dom, console = browse(path, tmp_path)
    assert console == []
    assert 'id="figure-nine-defences-test"' in dom


def test_what_is_wrong_is_seen(page, tmp_path):
    """The check itself: a broken picture, a wide element, pale text and an error are found."""
    broken = page.replace("data:image/png;base64,iVBOR", "data:image/png;base64,AAAA", 1)
    bad = '<div style="width:3000px;color:#999">wide</div><h2>Tables'
    broken = broken.replace("<h2>Tables", bad, 1).replace('tabindex="0" role', "role")
    broken = broken.replace("</body>", '<img src="https://example.org/a.png"></body>')
    ((seen,), console) = check(broken, [Frame(400, "light")], tmp_path)
    assert seen["images"].count(False) == 2
    assert seen["scroll"] >= 3000
    assert "DIV" in seen["wide"]
    assert [each[1] for each in seen["pale"]] == ["DIV wide"]
    assert len(seen["dumb"]) > 8
    assert any("Content Security Policy" in line for line in console)
