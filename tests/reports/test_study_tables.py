"""The tables of a study: their numbers against SciPy's, their forms, and studies with gaps."""

from __future__ import annotations

import csv
import dataclasses
import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats
from studies.synthetic import NINE, synthetic

from saddlepoint.errors import InputError
from saddlepoint.reports.study import significance_table, variants_table
from saddlepoint.reports.study.comparisons import comparisons, summaries
from saddlepoint.reports.study.comparisons_images import image_comparisons
from saddlepoint.reports.study.formats import TextTable, csv_text, latex, markdown
from saddlepoint.reports.study.tables import accuracy_table
from saddlepoint.reports.study.tables_budgets import by_budget_table, mcnemar_table, timings_table

EPS = (4 / 255, 8 / 255, 12 / 255, 16 / 255)
BUILDERS = (
    accuracy_table, variants_table, significance_table, mcnemar_table, by_budget_table, timings_table,
)  # fmt: skip
FEW = ("original", "adversarial", "quantised")


@pytest.fixture(scope="module")
def whole():
    return synthetic(seeds=10, budgets=EPS)


def column(results, variant, name):
    """The numbers of a variant as an array (seeds, budgets)."""
    rows = results.evaluations.filter(pc.equal(results.evaluations["variant"], variant))
    rows = rows.sort_by([("seed", "ascending"), ("eps", "ascending")])
    return rows[name].to_numpy().reshape(len(results.seeds), len(results.budgets))


def records(table):
    return list(csv.DictReader(io.StringIO(csv_text(table))))


def without(results, keep):
    """The results of a study that did not get to the evaluations for which `keep` is false."""
    tables = {}
    for name in ("evaluations", "images"):
        table = getattr(results, name)
        kept = pa.array([keep(row) for row in table.to_pylist()], pa.bool_())
        tables[name] = table.filter(kept)
    return dataclasses.replace(results, missing=("a cell",), **tables)


def test_the_tests_are_scipys_on_all_repeats_and_on_the_means_of_seeds(whole):
    found = {(c.variant, c.metric.column): c for c in comparisons(whole)}
    assert len(found) == 24
    for (variant, metric), c in found.items():
        x, y = column(whole, variant, metric), column(whole, "original", metric)
        side = "less" if metric == "success_rate" else "greater"
        printed = stats.ttest_rel(x.ravel(), y.ravel(), alternative=side)
        honest = stats.ttest_rel(x.mean(axis=1), y.mean(axis=1), alternative=side)
        assert (c.repeats.n, c.seeds.n) == (40, 10)
        assert (c.repeats.t, c.repeats.p) == pytest.approx((printed.statistic, printed.pvalue))
        assert (c.seeds.t, c.seeds.p) == pytest.approx((honest.statistic, honest.pvalue))
    for metric in ("clean_accuracy", "robust_accuracy", "success_rate"):
        family = sorted((c.seeds.p, c.adjusted) for (_, m), c in found.items() if m == metric)
        assert len(family) == 8
        assert family[0][1] == pytest.approx(min(1, 8 * family[0][0]))


def test_summaries_are_over_seeds(whole):
    for each in summaries(whole):
        x = column(whole, each.variant, each.metric.column)
        assert (each.repeats, each.seeds) == (40, 10)
        assert each.interval.mean == pytest.approx(x.mean())
        assert each.sd_repeats == pytest.approx(x.std(ddof=1))
        assert each.sd_seeds == pytest.approx(x.mean(axis=1).std(ddof=1))
        assert each.interval.low < each.interval.mean < each.interval.high


def test_the_main_table(whole):
    table = variants_table(whole)
    assert [row[0] for row in table.rows] == list(NINE)
    success = column(whole, "adversarial", "success_rate")
    mean, sd = 100 * success.mean(), 100 * success.mean(axis=1).std(ddof=1)
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["attack success"].startswith(f"{mean:.1f} ± {sd:.1f} [")
    assert row["attack success"].endswith("] ***")
    assert "*" not in "".join(table.rows[0]), "the reference is not compared with itself"
    record = next(
        r for r in records(table) if (r["variant"], r["metric"]) == ("adversarial", "success_rate")
    )
    assert float(record["mean"]) == pytest.approx(success.mean(), rel=1e-14)
    assert (record["seeds"], record["repeats"]) == ("10", "40")


def test_the_leading_table_is_accuracy_by_eps_with_the_stars_of_the_mean(whole):
    table = accuracy_table(whole)
    assert table.columns == (
        "variant", "no attack", *(f"eps = {k}/255" for k in (4, 8, 12, 16)), "mean over eps",
    )  # fmt: skip
    clean, robust = (column(whole, "adversarial", f"{n}_accuracy") for n in ("clean", "robust"))
    values = [clean.mean(axis=1), *robust.T, robust.mean(axis=1)]
    shown = [[float(x) for x in re.findall(r"[\d.]+", cell)] for cell in table.rows[1][1:]]
    for (mean, sd), value in zip(shown, values, strict=True):
        assert mean == pytest.approx(100 * value.mean(), abs=0.051)
        assert sd == pytest.approx(100 * value.std(ddof=1), abs=0.051)
    assert [cell.endswith(" ***") for cell in table.rows[1]] == [False] * 6 + [True]
    mine = [r for r in records(table) if r["variant"] == "adversarial"]
    assert [float(r["mean"]) for r in mine] == pytest.approx([v.mean() for v in values])
    assert [r["stars"] for r in mine] == ["", "", "", "", "", "***"]


def test_stars_are_those_of_the_seeds_and_the_printed_ones_have_columns_of_their_own(whole):
    for each, row in zip(comparisons(whole), significance_table(whole).rows, strict=True):
        assert row[5].rpartition(" ")[2].strip("0.123456789<–") == each.stars_seeds
        assert row[7] == "40"
        assert row[8].endswith(each.stars_repeats)
    (columns,) = {tuple(r) for r in records(significance_table(whole))}
    assert "nine_defences_test_stars" in columns
    other = significance_table(synthetic(FEW))
    assert len(other.columns) == 7
    assert not any("nine" in name for name in records(other)[0])
    assert not any("nine" in note for note in other.notes)
    by_name = {(c.variant, c.metric): c for c in comparisons(whole)}
    assert any(c.stars_repeats != c.stars_seeds for c in by_name.values())


def test_their_columns_stand_only_beside_stars_and_always_in_the_csv():
    few = significance_table(synthetic(seeds=4, images=20))
    assert len(few.columns) == 7
    assert not any("come too easily" in note for note in few.notes)
    assert any("No stars" in note for note in few.notes)
    assert "nine_defences_test_p" in records(few)[0]


def test_one_eps_has_no_mean_beside_it_and_keeps_the_stars():
    table = accuracy_table(synthetic(FEW, budgets=EPS[:1]))
    assert table.columns == ("variant", "no attack", "eps = 4/255")
    assert table.rows[1][-1].endswith(" ***")
    assert [(r["eps"], r["stars"]) for r in records(table)[2:4]] == [
        ("0.0", ""), (str(EPS[0]), "***"),
    ]  # fmt: skip


@pytest.mark.parametrize(("build", "said"), [
    (variants_table, "With 1 seed the"), (mcnemar_table, "over 1 test."), (variants_table, "(1 cell missing"),
])  # fmt: skip
def test_notes_count_in_words_that_agree(build, said):
    results = synthetic(FEW[:2], seeds=1, budgets=EPS[:1], missing=("a cell",))
    assert any(said in note for note in build(results).notes)


def test_columns_of_words_are_left_and_those_of_numbers_right(whole):
    assert significance_table(whole).of_text == (True, True, *[False] * 7)
    for build in (accuracy_table, variants_table, mcnemar_table, timings_table):
        assert build(whole).of_text == (True, *[False] * (len(build(whole).columns) - 1))
    assert "|---|---|--:|--:|\n" in markdown(by_budget_table(synthetic(FEW, seeds=2)))
    assert r"\begin{tabular}{llrr}" in latex(by_budget_table(synthetic(FEW, seeds=2)))


def test_a_variant_that_few_seeds_have_finished_has_no_stars():
    gaps = synthetic(FEW, seeds=6)
    cut = without(gaps, lambda row: row["variant"] != "adversarial" or row["seed"] < 4)
    for table in (accuracy_table(cut), variants_table(cut), significance_table(cut)):
        assert "***" not in "".join(sum(table.rows, ()))
        assert any("fewer than 5 seeds are finished of both" in n for n in table.notes)
    assert "***" in "".join(sum(accuracy_table(gaps).rows, ()))


def test_mcnemar_counts_images_of_one_seed_at_one_budget(whole):
    found = image_comparisons(whole)
    assert len(found) == 8 * 10 * 4
    images = whole.images.to_pylist()
    one = found[13]
    right = {
        v: {
            row["id"]: not row["success"]
            for row in images
            if (row["variant"], row["seed"], row["eps"]) == (v, one.seed, one.eps)
        }
        for v in ("original", one.variant)
    }
    better = sum(right[one.variant][i] and not right["original"][i] for i in range(80))
    worse = sum(right["original"][i] and not right[one.variant][i] for i in range(80))
    assert (one.images, one.better, one.worse) == (80, better, worse)
    assert one.p == pytest.approx(stats.binomtest(better, better + worse).pvalue)
    assert one.adjusted >= one.p
    better = [c.direction for c in found if (c.variant, c.eps) == ("adversarial", EPS[0])]
    assert better.count("better") >= 8
    cells = dict(zip(NINE[1:], [row[1] for row in mcnemar_table(whole).rows], strict=True))
    assert cells["adversarial"] == f"{better.count('better')} better, 0 worse of 10"
    assert cells["quantised"] == "0 better, 0 worse of 10"
    assert len(records(mcnemar_table(whole))) == 320


def test_only_repeats_that_both_have_are_paired():
    results = synthetic(FEW, seeds=4, budgets=EPS)
    partial = without(
        results,
        lambda row: (
            not (row["variant"] == "adversarial" and row["seed"] == 3)
            and not (row["variant"] == "original" and row["seed"] == 0 and row["eps"] > 10 / 255)
        ),
    )
    first = next(c for c in comparisons(partial) if c.metric.column == "robust_accuracy")
    assert (first.variant, first.repeats.n, first.seeds.n) == ("adversarial", 2 + 4 + 4, 3)
    x, y = (column(results, v, "robust_accuracy") for v in ("adversarial", "original"))
    a = [x[0, :2].mean(), x[1].mean(), x[2].mean()]
    b = [y[0, :2].mean(), y[1].mean(), y[2].mean()]
    assert first.seeds.p == pytest.approx(stats.ttest_rel(a, b, alternative="greater").pvalue)
    for build in BUILDERS[:-1]:
        assert any("not finished" in note for note in build(partial).notes)
    row = dict(zip(FEW, variants_table(partial).rows, strict=True))["adversarial"]
    assert row[1] == "3 / 12"
    assert {c.images for c in image_comparisons(partial)} == {80}


@pytest.mark.parametrize("gap", ["nothing", "no reference", "one seed", "null success"])
def test_studies_with_gaps_are_reported(gap):
    results = synthetic(FEW, seeds=1 if gap == "one seed" else 3)
    if gap == "nothing":
        results = without(results, lambda row: False)
    elif gap == "no reference":
        results = without(results, lambda row: row["variant"] != "original")
    elif gap == "null success":
        at = results.evaluations.schema.get_field_index("success_rate")
        values = [None if i == 2 else 0.5 + i / 99 for i in range(results.evaluations.num_rows)]
        values[3] = float("nan")
        table = results.evaluations.set_column(at, results.evaluations.field(at), [values])
        results = dataclasses.replace(results, evaluations=table)
    for build in BUILDERS:
        table = build(results)
        for form in (markdown, latex, csv_text):
            assert "nan" not in form(table).lower().replace("nance", "")
            assert "None" not in form(table)
    tests = comparisons(results)
    if gap in ("nothing", "no reference"):
        assert {c.seeds.n for c in tests} == {0}
        assert any("no pairs" in note for note in significance_table(results).notes)
    elif gap == "one seed":
        assert {c.seeds.p for c in tests} == {None}
        assert {c.repeats.n for c in tests} == {2}
        assert "–" in significance_table(results).rows[0]
    else:
        success = [c for c in tests if c.metric.column == "success_rate"]
        assert [c.repeats.n for c in success] == [4, 4]


def test_no_stars_where_clean_accuracy_is_low():
    results = synthetic(FEW, seeds=5, minimum_clean_accuracy=0.95)
    assert not any(c.conclusive or c.stars_repeats or c.stars_seeds for c in comparisons(results))
    table = variants_table(results)
    assert all("no conclusion" in row[0] for row in table.rows)
    assert any("below 95.0 %" in note for note in table.notes)
    assert any("The reference is one of these" in note for note in table.notes)
    assert {r["conclusive"] for r in records(table)} == {"false"}


def test_another_attack_is_found_by_name():
    results = synthetic(FEW, seeds=2, attacks=("pgd", "fgsm"))
    one, two = variants_table(results), variants_table(results, "fgsm")
    assert one.rows != two.rows
    assert "fgsm" in two.caption
    with pytest.raises(InputError, match="unknown attack 'fgms'; did you mean 'fgsm'"):
        variants_table(results, "fgms")


EVIL = r"50 % of a_b & {c} #1 $x$ ~ ^ \ <d> |e| ± [f](g) *h* – " + '"i"'


def test_latex_escapes_everything():
    text = latex(TextTable(EVIL, ("a", EVIL), ((EVIL, EVIL), ("[x]", "*")), (EVIL,)))
    assert not re.search(r"(?<!\\)[%#]", text)
    assert not re.search(r"(?<!\\)_", text)
    assert "|" not in text
    assert "\n{}[x] & * \\\\\n" in text, "a bracket would be the argument of the row's end"
    assert r"$\pm$" in text
    body = text.replace(r"\{", "").replace(r"\}", "").replace(r"\$", "")
    assert body.count("{") == body.count("}")
    assert body.count("$") % 2 == 0
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [1, 1, 1]
    assert text.isascii()


def test_markdown_cells_stay_cells(whole):
    text = markdown(TextTable(EVIL, ("a", "b"), ((EVIL, "0.5 ***"), ("*x*", "two\nlines"))))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3] * 4
    assert rows[2].endswith("| 0.5 *** |")
    assert r"\*h\*" in rows[2]
    assert r"\<d>" in rows[2]
    assert rows[3] == r"| \*x* | two lines |"
    assert "< 0.01" in markdown(variants_table(whole))


def test_csv_is_at_full_precision_and_quoted():
    name = 'a, "b"\nc'
    results = synthetic(("original", name), seeds=3)
    found = records(by_budget_table(results))
    assert {r["variant"] for r in found} == {"original", name}
    for record in found:
        x = column(results, record["variant"], record["metric"])
        k = results.budgets.index(float(record["eps"]))
        assert float(record["mean"]) == pytest.approx(x[:, k].mean(), rel=1e-14)
        assert float(record["sd"]) == pytest.approx(np.std(x[:, k], ddof=1), rel=1e-12)


def test_ragged_rows_are_refused():
    with pytest.raises(InputError, match="1 cells under 2 columns"):
        TextTable("c", ("a", "b"), (("1",),))
