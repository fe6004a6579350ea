"""The specification: what a YAML may say, and how it is told what it may not."""

from __future__ import annotations

import pytest
from studies.tiny import TEXT, tiny

from saddlepoint.errors import InputError
from saddlepoint.studies import load_study, parse_study
from saddlepoint.studies.spec import merged


def test_defaults_fractions_and_seeds_are_resolved():
    spec = tiny()
    assert spec.eps == (16 / 255, 48 / 255)
    assert spec.seeds == (0, 1)
    assert spec.reference == "original"
    assert spec.title == "tiny"
    assert spec.threads == 1
    assert tiny(seeds="seeds: [7, 3]").seeds == (7, 3)


def test_a_specification_comes_back_from_its_own_json():
    spec = tiny()
    assert type(spec).model_validate(spec.model_dump(mode="json")) == spec


def test_parts_are_merged_in_order():
    spec = parse_study(
        TEXT.replace(
            "  adversarial: [adversarial]", "  all: [adversarial, {epochs: 5}, quantised]"
        ).replace("parts:", "parts:\n  quantised: {transforms: [{name: quantise, weight_bits: 3}]}")
    )
    recipe = spec.recipe_of("all")
    assert recipe["objective"]["name"] == "adversarial-training"
    assert recipe["epochs"] == 5
    assert recipe["transforms"][0]["weight_bits"] == 3
    assert recipe["transforms"][0]["activation"] == "dtrelu"


def test_merging_adds_lists_and_replaces_things_of_another_name():
    base = {"penalties": [1], "schedule": {"name": "one-cycle", "warmup": 0.1}, "epochs": 1}
    more = {"penalties": [2], "schedule": {"warmup": 0.2}}
    assert merged(base, more) == {
        "penalties": [1, 2], "schedule": {"name": "one-cycle", "warmup": 0.2}, "epochs": 1,
    }  # fmt: skip
    assert merged(base, {"schedule": {"name": "constant"}})["schedule"] == {"name": "constant"}
    assert base["penalties"] == [1]


def test_an_attack_without_eps_takes_the_cells_and_the_threat_of_the_study():
    spec = tiny()
    recipe = spec.recipe_at("adversarial", 0.1, ((0.0,), (1.0,)))
    assert recipe.objective.attack.threat.eps == 0.1
    assert spec.depends_on_eps("adversarial")
    assert not spec.depends_on_eps("original")
    fixed = tiny(parts="parts:\n  x: {}").model_copy(update={"variants": {"f": [
        {"objective": {"name": "adversarial-training", "attack": {"name": "pgd", "eps": "8/255"}}}
    ]}})  # fmt: skip
    assert not fixed.depends_on_eps("f")
    assert fixed.recipe_at("f", 0.1, ((0.0,), (1.0,))).objective.attack.threat.eps == 8 / 255


def test_no_attack_of_a_study_is_ended_by_the_clock():
    spec, statistics = tiny(), ((0.0,), (1.0,))
    assert spec.attack({"name": "hard", "passes": 500}, 0.1, statistics).passes == 500
    with pytest.raises(InputError, match="hard has a time limit"):
        spec.attack({"name": "hard", "seconds": 5.0}, 0.1, statistics)


WRONG = [
    ("16/255, 48", "0, 48", r"line 6: eps.0: is 0, .*greater than 0"),
    ("16/255, 48", "-8/255, 48", r"line 6: eps.0.*greater than 0|line 6: eps.*-8/255"),
    ("16/255, 48", "x, 48", r"line 6: eps.0: is x, eps is 'x'; give a positive number"),
    ("16/255, 48", ".inf, 48", r"line 6: eps.0"),
    ("[16/255, 48/255]", "[]", r"line 6: eps: .*at least 1 item"),
    ("[16/255, 48/255]", "[0.1, 0.1]", r"line 6: eps: 0.1 is given twice"),
    ("[16/255, 48/255]", "0.1", r"line 6: eps: .*a list of budgets is expected"),
    ("16/255, 48", "8, 48", r"line 6: eps: 8 is more than the range of pixels"),
    ("parts:", "parts:\n  u: {penalties: [{name: nonsense, weight: 1}]}", r"line 10: parts.u: unk"),
    ("parts:", "parts:\n  u: {epochs: 0}", r"line 10: parts.u: epochs is 0"),
    ("seeds: 2", "seeds: 0", r"line 5: seeds: .*at least 1"),
    ("seeds: 2", "seeds: []", r"line 5: seeds"),
    ("seeds: 2", "seeds: [1, 1]", r"line 5: seeds: 1 is given twice"),
    ("seeds: 2", "seeds: two", r"line 5: seeds: is two"),
    ("seeds: 2", "seeds: [-1]", r"line 5: seeds.0: is -1"),
    ("seeds: 2", "seedz: 2", r"line 5: seedz: extra inputs are not permitted"),
    ("name: tiny", "reference: x\nname: tiny", r"line 2: reference: unknown variant 'x'"),
    ("name: pgd, steps: 3", "name: pgdd", r"line 7: attacks.pgd: unknown attack 'pgdd'; did you mean 'pgd'"),
    ("name: pgd, steps: 3", "name: pgd, step: 3", r"line 7: attacks.pgd: unknown option of pgd 'step'"),
    ("name: pgd, steps: 3", "name: pgd, steps: many", r"line 7: attacks.pgd: pgd: steps is 'many'"),
    ("name: pgd, steps: 3", "name: pgd, eps: 0.1", r"line 7: attacks.pgd.eps: the budgets are the study's"),
    ("name: pgd, steps: 3", "suite: slow", r"line 7: attacks.pgd: unknown suite 'slow'"),
    ("{pgd: {name: pgd, steps: 3}}", "{}", r"line 7: attacks"),
    ("epochs: 2", "epochs: many", r"line 8: recipe: .*epochs is 'many'"),
    ("epochs: 2", "epochs: 0", r"line 8: recipe: epochs is 0"),
    ("recipe: {", "recipe: recipes/none.yaml #", r"line 8: recipe: cannot read"),
    ("adversarial: [adv", "adversarial: [avd", r"line 13: variants.adversarial.0: unknown part 'avd"),
    ("adversarial: [adv", "original: [adv", r"line 13: the name 'original' is given twice"),
    ("original: []", "original: [{transforms: [quantize]}]", r"line 12: .*: unknown transform"),
    ("original: []", "original: [{transforms: [{name: quantise, bits: 3}]}]", r"line 12: .*unknown option"),
    ("original: []", "original: [{penalties: [orthogonal]}]", r"line 12: .*weight None; give a number"),
    ("original: []", "original: [{penalties: [{name: orthogonl, weight: 1}]}]", r"unknown penalty"),
    ("original: []", "original: [[]]", r"line 12: variants.original.0"),
    ("{name: digits, train_limit: 160, test_limit: 40}", "{train_limit: 3}", r"line 3: data.*field required"),
    ("name: tiny", "name: ''", r"line 2: name"),
    ("name: tiny", "title: x", r"name: field required"),
    ("16/255, 48", "true, 48", r"line 6: eps.0: is True, a number is expected"),
    ("seeds: 2", "seeds: 2\nthreads: true", r"line 6: threads"),
    ("seeds: 2", "seeds: 2\nbatch_size: 99999999999999999999", r"line 6: batch_size"),
    ("test_limit: 40", "image_size: 100000", r"line 3: data.image_size"),
    ("name: zoo:simple-cnn, w", "w", r"line 4: model: .*the model has no name"),
    ("widths: [4, 8]", "widths: [2020-01-01]", r"line 4: model: .*date is no option of a model"),
    ("adversarial: [adv", '"a\\nb": [adv', r"line 13: variants.*a name is expected"),
    ("  adversarial: [adv", "  '': [adv", r"a name is expected"),
    ("pgd: {name: pgd", "training: {name: pgd", r"line 7: attacks.*this is what trainings are called"),
    ("original: []", "original: [{transforms: [quantise]}, {transforms: null}]", r"line 12: .*is None"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_an_error_names_the_line_the_field_and_what_was_expected(old, new, message):
    assert old in TEXT
    with pytest.raises(InputError, match=message) as caught:
        parse_study(TEXT.replace(old, new, 1), "study.yaml")
    assert str(caught.value).startswith("study.yaml, line ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a NoneType; a study is a mapping"),
        ("- a", "holds a list"),
        ("a: [", "line 1 is not valid YAML"),
        ("a: 2024-13-45", "is not valid YAML|not permitted|required"),
        ("&a [*a]", "an alias inside of what it names"),
    ],
)
def test_what_is_no_study_is_refused_in_a_line(text, message):
    with pytest.raises(InputError, match=message):
        parse_study(text, "study.yaml")


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_study(tmp_path / "a.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load_study(tmp_path)
