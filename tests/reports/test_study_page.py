"""The report of a study: files that agree, one page that needs nothing else."""

from __future__ import annotations

import csv
import re

import pytest
import yaml
from reports.parsed import Parsed
from reports.quick import leave_pictures_empty
from studies.synthetic import synthetic

from saddlepoint.errors import InputError, OutputError
from saddlepoint.reports.study.findings import findings
from saddlepoint.reports.study.toy import toy_examples, toy_model, toy_results
from saddlepoint.reports.study.write import TABLES, write_report
from saddlepoint.studies.results import EVALUATION_COLUMNS

LEADING = ("accuracy-against-eps", "accuracy", "success")
EVIL = "<script>alert(1)</script> & 'quotes' | *stars* $x_1$ $\\frac$ {{ 7 * 7 }}"


DRAWN = (
    "accuracy-against-eps", "accuracy", "success", "training-loss", "features-original",
    "nine-defences-test", "self-ensemble",
)  # fmt: skip


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    """The report of nine variants, with some of its figures."""
    results = synthetic(model=toy_model, examples=toy_examples, images=40, title="dé <b>")
    folder = tmp_path_factory.mktemp("nine")
    return results, folder, write_report(results, folder, figures=DRAWN, dpi=80)


def test_every_table_and_figure_is_a_file(nine):
    results, folder, files = nine
    assert files.index == folder / "index.html"
    assert {p.name for p in files.tables} == {f"{n}.{k}" for n in TABLES for k in ("tex", "csv")}
    assert {path.stem for path in files.figures} == set(DRAWN)
    for path in files.figures:
        start = path.read_bytes()[:4]
        assert start == (b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
    everything = {path for path in folder.rglob("*") if path.is_file()}
    assert everything == {files.index, files.markdown, *files.tables, *files.figures}
    rows = list(csv.reader((folder / "tables" / "variants.csv").open()))
    assert {row[0] for row in rows[1:]} == set(results.variants)


def told(files):
    """The page and the Markdown as text, without the configuration."""
    page = "".join(Parsed(files.index.read_text(encoding="utf-8")).texts)
    markdown = files.markdown.read_text(encoding="utf-8")
    return page.split("The study exactly as it ran")[0], markdown.split("## Configuration")[0]


def test_accuracy_against_eps_leads_and_the_nine_defences_come_last(nine):
    results, _, files = nine
    first = Parsed(files.index.read_text(encoding="utf-8"))
    assert [a["id"] for a in first.all("figure")] == [f"figure-{name}" for name in DRAWN]
    for text in told(files):
        text = text[text.index("Written by") if "Written by" in text else 0 :]
        order = (
            "Figure 1. Accuracy against eps", "Accuracy against eps under pgd", "The variants before",
            "Figure 2. Accuracy before", "The nine-defences report, in this run",
            findings(results)[0].statement, "by its own test",
        )  # fmt: skip
        text = text.replace("**", "").replace("\\", "")
        places = [text.rindex(each) for each in order]
        assert places == sorted(places)
        assert "Figure 8 of the nine-defences report." in text
        assert "n = 10 when all are finished" in text


def test_another_study_has_nothing_of_the_nine_defences(tmp_path, monkeypatch):
    """Also where variants have its names and parts: not all of its roles are there."""
    leave_pictures_empty(monkeypatch)
    results = synthetic(
        variants=("original", "adversarial", "quantised", "adversarial + regularised"),
        title="Mine", images=40, model=toy_model, examples=toy_examples,
    )  # fmt: skip
    files = write_report(results, tmp_path, pdf=False)
    drawn = [path.stem for path in files.figures]
    assert drawn[:6] == [
        "accuracy-against-eps", "accuracy", "success", "training-loss", "images", "network",
    ]  # fmt: skip
    assert all(name.startswith("features-") for name in drawn[6:])
    for text in (*told(files), *(path.read_text() for path in files.tables)):
        assert "nine" not in text.lower()
        for finding in findings(results):
            assert finding.statement not in text
    assert "***" in told(files)[0]


def test_with_fewer_than_five_seeds_there_are_no_stars_and_the_page_says_why(tmp_path):
    results = synthetic(seeds=4, images=40, model=toy_model, examples=toy_examples)
    shown = ("accuracy", "nine-defences-test")
    files = write_report(results, tmp_path, figures=shown, dpi=60, pdf=False)
    assert [path.name for path in files.figures] == ["accuracy.png"]
    assert "5 seeds in common with the reference" in files.left_out[0]
    for text in told(files):
        assert "No stars: they need at least 5 seeds, and this study has 4." in text
        assert "***" not in text
    for path in files.tables:
        assert "*" not in path.read_text(encoding="utf-8")


def test_the_page_is_whole_small_and_asks_for_nothing(nine):
    files = nine[2]
    text = files.index.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    page = Parsed(text)
    images = page.all("img")
    assert len(images) == len(DRAWN)
    for image in images:
        assert image["src"].startswith("data:image/png;base64,")
        assert re.fullmatch(r"Figure \d+\. \S.*\.", image["alt"])
        assert int(image["width"]) > 100
    assert not re.search(r"https?:|src=\"(?!data:)|url\(|@import|<script", text)
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"][1:] for a in page.all("a")} <= ids
    assert len(page.all("caption")) + text.count('class="caption"') >= len(TABLES)


def test_the_page_and_the_markdown_hold_the_same_tables_and_the_configuration(nine):
    results, folder, files = nine
    texts = [text.strip() for text in Parsed(files.index.read_text(encoding="utf-8")).texts]
    markdown = files.markdown.read_text(encoding="utf-8")
    for build in TABLES.values():  # of the main attack
        for row in build(results, "pgd").rows:
            assert set(row) <= {*texts, ""}
            assert all(cell in markdown.replace("\\", "") for cell in row)
    for path in re.findall(r"!\[.*\]\((.*)\)", markdown):
        assert (folder / path).is_file()
    (block,) = re.findall(r"```yaml\n(.*)```", markdown, re.DOTALL)
    page = files.index.read_text(encoding="utf-8")
    assert '<th scope="col" class="text">metric</th><th scope="col">difference</th>' in page
    assert '<td class="text">after the attack</td><td>' in page
    shown = next(text for text in texts if text.startswith("name: synthetic"))
    assert yaml.safe_load(block) == yaml.safe_load(shown)
    assert yaml.safe_load(block) == results.config


def test_what_is_missing_stands_at_the_top_of_both(tmp_path):
    results = toy_results(
        missing=("train original seed 7",),
        failed={"train adversarial seed 8": "ValueError: <boom>"},
        damaged=("evaluate original seed 9",),
    )
    files = write_report(results, tmp_path, figures=())
    page = "".join(Parsed(files.index.read_text(encoding="utf-8")).texts)
    markdown = files.markdown.read_text(encoding="utf-8").replace("\\", "")
    for text in (page, markdown):
        where = [text.index(label) for label in ("seed 7", "seed 8: ValueError: <boom>", "seed 9")]
        assert max(where) < text.index("Tables")
        assert text.index("not finished") < min(where)
    finished = write_report(toy_results(), tmp_path, figures=())
    assert "not finished" not in finished.index.read_text(encoding="utf-8")


def test_names_are_text_wherever_they_come_from(tmp_path):
    results = synthetic(
        variants=("original", EVIL), seeds=2, title=EVIL, threat=EVIL, missing=(EVIL,),
        config={"name": EVIL}, attacks=(EVIL,), classes=(EVIL,) * 10, model=toy_model,
        examples=toy_examples,
    )  # fmt: skip
    files = write_report(
        results,
        tmp_path,
        figures=("training-loss", "accuracy", "success", "features-original", "images"),
        dpi=60,
    )
    text = files.index.read_text(encoding="utf-8")
    page = Parsed(text)
    assert "<script" not in text
    assert page.all("script") == []
    assert sum(EVIL in each for each in page.texts) > 5
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in files.figures)
    outside = files.markdown.read_text(encoding="utf-8").split("```yaml")[0]
    assert "<script" not in outside.replace("\\<", "")


def test_a_report_twice_is_the_same_to_the_byte(tmp_path):
    shown = ("training-loss", "accuracy")
    first, second = (
        write_report(toy_results(), tmp_path / name, figures=shown, dpi=60) for name in "ab"
    )
    for kind in ("tables", "figures"):
        for a, b in zip(getattr(first, kind), getattr(second, kind), strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name
    assert first.index.read_bytes() == second.index.read_bytes()


def test_figures_without_data_are_named_in_the_report(tmp_path):
    shown = ("images", "success", "features-original")
    files = write_report(synthetic(seeds=2), tmp_path, figures=shown, dpi=60, pdf=False)
    assert [line.split(":")[0] for line in files.left_out] == [
        "figure 'images'", "figure 'features-original'",
    ]  # fmt: skip
    for text in told(files):
        assert "figure 'features-original'" in text
    with pytest.raises(InputError, match="unknown figure 'sucess'; did you mean 'success'"):
        write_report(synthetic(seeds=2), tmp_path, figures=("sucess",))


def test_one_variant_one_seed_one_budget_is_reported(tmp_path):
    results = synthetic(variants=("original",), seeds=1, budgets=(0.1,))
    files = write_report(results, tmp_path, figures=LEADING, dpi=60)
    assert len(files.figures) == 6


def test_an_empty_store_and_a_folder_that_is_a_file_are_errors(tmp_path):
    empty = toy_results(evaluations=EVALUATION_COLUMNS.empty_table())
    with pytest.raises(InputError, match="no evaluation of the study 'toy' is finished"):
        write_report(empty, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(toy_results(), tmp_path / "file", figures=())
