"""The page of an evaluation: its numbers are the record's, it needs nothing else, and it is the same
whatever interrupted the work.
"""

from __future__ import annotations

import re
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from reports.parsed import Parsed
from small import after_stages, die, digits, finish, trained

from saddlepoint.attacks import Misclassified
from saddlepoint.data import TensorData
from saddlepoint.errors import OutputError
from saddlepoint.evaluation import evaluate, journal
from saddlepoint.evaluation.worst import read_worst
from saddlepoint.reports.evaluation import write_evaluation_page
from saddlepoint.reports.evaluation.choose import MOST, choose
from saddlepoint.reports.evaluation.passes import spent_until_fooled
from saddlepoint.reports.page.document import PAGE
from saddlepoint.reports.page.parts import THUMBNAIL

EVIL = "<script>alert(1)</script> & 'quotes' {{ 7 * 7 }}"
EPS = (0.05, 0.1)
PLAIN = {"split": "test", "mean": (0.5,), "std": (0.25,)}


def written(record, out, data, **options):
    net, given = trained(), {"name": "a net", "command": "saddlepoint evaluate …", **options}
    return write_evaluation_page(record, out, net, data, Misclassified(), **given)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("page")
    data = digits("test", 60)
    record = evaluate(trained(), data, "Linf", eps=EPS, suite="quick", out=out)
    path = written(record, out, data)
    return record, out, path.read_text(encoding="utf-8")


def test_the_numbers_of_the_page_are_those_of_the_record(done):
    record, _, text = done
    page = Parsed(text)
    told = {each["data-key"]: each for each in page.all("li") if "data-key" in each}
    shares = {"clean": record.clean}
    shares |= {f"robust {b.eps!r}": b.robust_accuracy for b in record.budgets}
    assert told.keys() == shares.keys()
    for key, share in shares.items():
        assert (int(told[key]["data-count"]), int(told[key]["data-total"])) == (
            share.count,
            share.total,
        )
        assert f"{100 * share.value:.1f} %" in page.texts
    cells = [cell.strip() for cell in page.texts]
    for table in (record.budget_table(), record.attack_table(), record.class_table()):
        for row in table.rows:
            assert all(value in cells for value in row if value), row
    for check in record.verdict.table().rows:
        assert all(value in cells for value in check)
    counts = record.confusion()
    body = text[text.index('class="confusion"') :]
    rows = re.findall(
        r"<tr><th scope=\"row\"[^>]*>.*?</tr>", body[: body.index("</table>")], re.DOTALL
    )
    seen = [[int(n or 0) for n in re.findall(r"<td[^>]*>(\d*)</td>", row)] for row in rows]
    assert seen == counts.tolist()


def test_the_verdict_stands_before_every_number(done):
    record, _, text = done
    body = text[text.index("<body>") :]
    assert body.index(record.verdict.sentence) < body.index("data-key")
    bare = replace(record, verdict=None)
    assert "not examined" in bare.told


def test_the_page_needs_no_other_file_and_runs_no_other_script(done):
    _, _, text = done
    page = Parsed(text)
    assert "http-equiv" in text
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")
    assert len(page.all("script")) == 1
    addresses = [each.get("src") or "" for tag in ("img", "script") for each in page.all(tag)]
    addresses += [each["href"] for each in page.all("a")]
    addresses += [each.get("xlink:href", "#") for each in page.all("use")]
    assert all(not each or each.startswith(("data:image/", "#")) for each in addresses)
    links = {each["href"][1:] for each in page.all("a")}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert links <= set(ids)
    assert len(ids) == len(set(ids))
    assert all(each.get("alt") for each in page.all("img"))
    assert all(each.get("aria-label") for each in page.all("svg"))
    assert not re.findall(r"(?:fill|stroke): #", text)  # every colour follows the page


def test_a_figure_appears_once_and_the_gallery_is_bounded(done):
    _, out, text = done
    cards = re.findall(r'<li id="image-(\d+)-\d+"', text)
    assert 0 < len(cards) <= MOST
    assert len(cards) == len(set(cards))
    pictures = re.findall(r'src="(data:image/png;base64,[^"]+)"', text)
    assert len(pictures) == 3 * len(cards)
    names = re.findall(r'<figure id="([^"]+)"', text)
    assert names == ["figure-accuracy", "figure-passes"]
    kept = read_worst(out).at(EPS[-1])
    assert {int(card) for card in cards} <= set(kept.ids.tolist())


def test_the_rule_chooses_what_it_says(done):
    record, _, _ = done
    total = record.clean.total
    table = record.images.slice(total, total)
    sureness = dict.fromkeys(range(total), 0.5)
    chosen = choose(table, sureness)
    distance = table["distance"].to_numpy()
    who = table["fooled_by"].to_pylist()
    nearest = [each.row for each in chosen if "nearest" in each.why]
    fooled = [row for row in range(total) if who[row] not in ("", "initially wrong")]
    assert max(distance[nearest]) <= min(
        (distance[row] for row in fooled if row not in nearest), default=torch.inf
    )
    assert all(who[each.row] == "" for each in chosen if "stands" in each.why)
    labels = [table["label"][each.row].as_py() for each in chosen if "per class" in each.why]
    assert len(labels) == len(set(labels))


def test_passes_until_fooled_are_all_that_an_image_had(done):
    record, _, _ = done
    total = record.clean.total
    last = record.images.slice(total, total)
    fooled = {
        i
        for i, who in zip(last["id"].to_pylist(), last["fooled_by"].to_pylist(), strict=True)
        if who not in ("", "initially wrong")
    }
    naive = dict.fromkeys(fooled, 0)
    for row in record.attempts.to_pylist():
        if row["id"] in naive:
            naive[row["id"]] += row["forwards"] + row["backwards"]
    spent = spent_until_fooled(record)
    assert spent.tolist() == sorted(naive.values())
    assert len(spent) == record.clean.count - record.budgets[-1].robust_accuracy.count
    assert len(record.attempts) > len({row["id"] for row in record.attempts.to_pylist()})


def test_what_comes_from_outside_is_escaped(done, tmp_path):
    record, out, _ = done
    shutil.copytree(out, tmp_path / "run")
    data = digits("test", 60)
    evil = TensorData(
        data.images(torch.arange(60)),
        data.labels,
        name=EVIL,
        classes=[f"{EVIL}{i}" for i in range(10)],
        **PLAIN,
    )
    known = replace(record, notes=(EVIL,), classes=evil.classes)
    text = written(known, tmp_path / "run", evil, name=EVIL, command=EVIL).read_text(
        encoding="utf-8"
    )
    page = Parsed(text)
    assert len(page.all("script")) == 1
    assert "alert(1)</script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }}" in text


def test_the_same_record_is_the_same_page(done, tmp_path):
    record, out, text = done
    again = written(record, out, digits("test", 60)).read_text(encoding="utf-8")
    assert again == text


def dies(out, count):
    """Is killed once so many attacks have ended; the suite takes three, twice."""
    data = digits("test", 60)
    journal.LATEST = 0.0
    options = {"eps": EPS, "suite": "quick", "out": out, "progress": after_stages(count, die)}
    evaluate(trained(), data, "Linf", **options)


@pytest.mark.parametrize("count", range(5))
def test_killed_at_five_moments_the_page_is_the_same(done, tmp_path, count):
    _, _, text = done
    data = digits("test", 60)
    assert finish(dies, tmp_path / "run", count) == -signal.SIGKILL
    assert not (tmp_path / "run" / PAGE).exists()
    record = evaluate(trained(), data, "Linf", eps=EPS, suite="quick", out=tmp_path / "run")
    assert written(record, tmp_path / "run", data).read_text(encoding="utf-8") == text


def test_a_page_that_cannot_be_written_leaves_the_record(done, tmp_path):
    record, out, _ = done
    shutil.copytree(out, tmp_path / "run")
    (tmp_path / "run" / PAGE).unlink()
    (tmp_path / "run" / PAGE).mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        written(record, tmp_path / "run", digits("test", 60))
    assert (tmp_path / "run/evaluation.json").exists()


def test_large_images_are_shown_small_and_a_thousand_are_no_heavy_page(tmp_path):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 3, 128, 100, generator=generator)
    net = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 4)
    )
    with torch.no_grad():
        labels = net(images).argmax(1)
    data = TensorData(images, labels, name="large", classes=["a", "b", "c", "d"], **PLAIN)
    record = evaluate(net, data, "Linf", eps=[0.05], suite="quick", out=tmp_path, diagnosis=None)
    path = write_evaluation_page(record, tmp_path, net, data, Misclassified(), name="net")
    text = path.read_text(encoding="utf-8")
    assert "Not examined" in text
    assert "data:image/jpeg" in text
    assert path.stat().st_size < 1_500_000
    assert f'width="{THUMBNAIL}"' in text
