"""`saddlepoint train` on texts and `saddlepoint translate`: files, pages, and refusals."""

import json
import shutil

import pytest
from commandline import *  # noqa: F403
from reports.browser import CHROMIUM, assert_readable

SMALL = ("--model-option", "width=16", "--model-option", "depth=1", "--model-option", "hidden=32")
COPY = ("train", "--data", "rules:copy", "--limit", 60, "--model", "transformer-micro", *SMALL,
        "--recipe", "transformer", "--epochs", 1)  # fmt: skip


@pytest.fixture(name="copied")
def copied_fixture(cli, tmp_path):
    out = tmp_path / "copied"
    found = cli(*COPY, "--out", out)
    assert found.status == 0, found
    assert (out / "tokeniser.json").is_file()
    return out


def test_translations_have_a_page_of_attention(cli, copied, tmp_path):
    words = ("translate", "--weights", copied, "--text", "a b c", "--text", "d", "--beam", 2)
    out = tmp_path / "written"
    found = cli(*words, "--out", out, "--json")
    assert found.status == 0, found
    rows = found.json["translations"]
    assert [row["source"] for row in rows] == ["a b c", "d"]
    lines = (out / "translations.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [row["translation"] for row in rows]
    assert cli(*words, "--out", out, "--json").json == found.json  # read again
    (tmp_path / "a.csv").write_text("source,label\na b c,0.5\nd,\n")  # labels are not looked at
    same = cli(
        "translate", "--weights", copied, "--file", tmp_path / "a.csv", "--beam", 2, "--json"
    )
    assert same.json["translations"] == rows
    page = (out / "translate.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert page.count("head 4") >= 1
    if CHROMIUM is not None:
        assert_readable(page, tmp_path, images=0)  # they are drawn within


def test_a_record_holds_the_tokeniser_and_a_second_run_is_refused(cli, refused, copied):
    config = json.loads((copied / "run.json").read_text())["config"]
    told = config["identity"]["tokeniser"]
    assert told["kind"] == "words"
    assert len(told["fingerprint"]) == 16
    assert "pass --resume" in refused(*COPY, "--out", copied)
    assert cli(*COPY, "--out", copied, "--resume").status == 0
    assert "seed was 0, is now 1" in refused(*COPY, "--seed", 1, "--out", copied)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--normalisation", "none"), "--normalisation is of images, and transformer-micro"),
        (("--image-size", 8), "--image-size is of images"),
        (("--eps", "0.1"), "trains on clean images, for no budget"),
        (("--augmentation", "crop-flip"), "augmentation are of images, and Translate is of texts"),
        (("--longest", 4), "at most 4 are read; leave it out, or ask for truncation"),
        (("--tokeniser", "letters"), "unknown tokeniser 'letters'"),
        (("--recipe", "standard"), "Standard is of images; give a recipe such as transformer"),
        (("--data", "rules:sentiment"), "rules:sentiment has no pairs of texts to translate"),
        (("--model", "bert-micro"), "Translate trains a Transformer on pairs"),
        (("--model-option", "vocabulary=9"), "vocabulary is the tokeniser's"),
        (("--column", "source"), "columns are of a file, and rules:copy has its own"),
    ],
)
def test_what_is_not_of_texts_is_refused(refused, tmp_path, words, told):
    given = list(map(str, COPY))
    for i in range(0, len(words), 2):
        if words[i] in ("--recipe", "--data", "--model"):
            given[given.index(words[i]) + 1] = words[i + 1]
        else:
            given += [words[i], words[i + 1]]
    assert told in refused(*given, "--out", tmp_path / "out")


def test_texts_are_not_of_image_models(refused, copied, tmp_path):
    out = ("--recipe", "standard", "--out", tmp_path / "out")
    told = refused("train", "--data", "rules:copy", "--model", "simple-cnn", *out)
    assert "rules:copy holds texts, and simple-cnn is of images" in told
    told = refused("train", "--data", "digits", "--model", "simple-cnn", "--lower", *out)
    assert "--lower is of texts" in told
    assert "by --text or by --file" in refused("translate", "--weights", copied)
    told = refused(*COPY, "--label", "mood", "--out", tmp_path / "out")
    assert "--label is of classes, and Translate learns none" in told
    told = refused("translate", "--weights", tmp_path, "--text", "a")
    assert "holds no model.safetensors" in told


def test_fine_tuning_goes_on_from_a_folder(cli, refused, tmp_path):
    base = ("train", "--data", "rules:sentiment", "--limit", 60, "--model", "bert-micro")
    before = tmp_path / "before"
    plain = ("--set", "next_sentence=false", "--epochs", 1, "--out", before)
    assert cli(*base, *SMALL, "--recipe", "bert-pretrain", *plain).status == 0
    out = tmp_path / "after"
    fine = (*base, "--recipe", "bert-finetune", "--epochs", 1, "--weights", before)
    found = cli(*fine, "--out", out, "--json")
    assert found.status == 0, found
    assert 0 <= found.json["test_accuracy"] <= 1
    tokenisers = [(each / "tokeniser.json").read_bytes() for each in (before, out)]
    assert tokenisers[0] == tokenisers[1]
    other = ("--out", tmp_path / "other")
    assert "there is one already" in refused(*fine, "--vocabulary", 50, *other)
    assert "--model-option is of a new network" in refused(*fine, *SMALL, *other)


def test_what_tests_must_have_is_asked_for_before_training(refused, tmp_path):
    write = {
        "seen.csv": ["text,label", *(f"{w} {i},{w}" for i in range(30) for w in ("good", "bad"))],
        "unlabelled.csv": ["text", "good 1", "bad 2"],
        "pairs.csv": ["source,target,label", "good 1,bad 1,good"],
        "one.csv": ["text,label", *(f"good {i},good" for i in range(60))],
    }
    for name, lines in write.items():
        (tmp_path / name).write_text("\n".join(lines))
    given = (
        "train", "--model", "bert-micro", *SMALL, "--recipe", "bert-finetune", "--epochs", 1,
        "--out", tmp_path / "out",
    )  # fmt: skip
    seen = ("--data", tmp_path / "seen.csv")
    told = refused(*given, *seen, "--test", tmp_path / "unlabelled.csv")
    assert "the test texts of unlabelled.csv have no labels" in told
    told = refused(*given, *seen, "--test", tmp_path / "pairs.csv")
    assert "holds pairs, and seen.csv single texts" in told
    told = refused(*given, "--data", tmp_path / "one.csv")
    assert "one.csv has one class, good; a classifier needs two" in told
    told = refused(*given, *seen, "--words", 3)
    assert "words are of the sources of translations" in told
    told = refused(*given, "--data", "rules:sentiment", "--words", 3)
    assert "rules:sentiment holds no pairs" in told
    assert not (tmp_path / "out").exists()


def test_weights_are_named_as_they_were_trained(refused, copied, tmp_path):
    words = list(map(str, COPY))
    words[words.index("--model") + 1] = "transformer-big"
    told = refused(*words, "--weights", copied, "--out", tmp_path / "out")
    assert "is of transformer-micro, and the model is transformer-big" in told
    broken = tmp_path / "broken"
    shutil.copytree(copied, broken)
    (broken / "run.json").write_text("[]")
    told = refused(*COPY, "--weights", broken, "--out", tmp_path / "out")
    assert "run.json is not the record of a training" in told
    told = refused("translate", "--weights", copied, "--text", "a", "--length-penalty", 1000)
    assert "less than or equal to 50" in told
