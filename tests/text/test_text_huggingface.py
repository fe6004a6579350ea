"""Sequence classifiers of Hugging Face from a folder, as classifiers of our tokens."""

import json

import pytest
import torch

from saddlepoint.cli import run
from saddlepoint.errors import InputError
from saddlepoint.text import load_huggingface_text, load_text_classifier

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

WORDS = ["[PAD]", "x", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "b"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 11}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        intermediate_size=24, max_position_embeddings=12, id2label={0: "no", 1: "yes"},
        initializer_range=0.3, **SIZES,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    numbers = {word: i for i, word in enumerate(WORDS)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordPiece(numbers, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    raw.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    raw.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    raw.save(str(folder / "tokenizer.json"))
    return folder


def test_logits_are_those_of_the_library(folder):
    found = load_text_classifier(f"hf:{folder}")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    first, second = ["good film", "what a bad"], ["bad", "a good good film"]
    ours = found.framing.pairs(first, second).tokens
    assert found.classes == ("no", "yes")
    assert int(ours.ids[1].eq(1).sum()) == 1  # "what" is unknown
    with torch.no_grad():
        logits = found.model(ours)
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            told = raw.encode(a, b)
            wanted = theirs(
                input_ids=torch.tensor([told.ids]), token_type_ids=torch.tensor([told.type_ids])
            ).logits
            torch.testing.assert_close(logits[i : i + 1], wanted, atol=1e-6, rtol=1e-5)
        # The segments count, and the embeddings carry them.
        single = found.model(found.framing.singles(first).tokens)
        assert not torch.allclose(single, logits)
        same = found.model.from_embedding(found.model.embedding(ours), ours.keep)
        assert torch.equal(same, logits)


def test_a_folder_is_evaluated_in_its_embedding(folder, tmp_path, capsys):
    texts = ["good film", "a bad film", "bad a b", "good good b", "a good film b", "bad"]
    with torch.no_grad():
        found = load_text_classifier(f"hf:{folder}")
        first = found.model(found.framing.singles(texts).tokens).argmax(1).tolist()
    labels = [found.classes[k] for k in first]
    labels[0] = found.classes[1 - first[0]]  # one is wrong
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    file = tmp_path / "films.csv"
    file.write_text("\n".join(["text,label", *rows]))
    words = [
        "evaluate", "--data", str(file), "--split", "train", "--model", f"hf:{folder}", "--space",
        "embedding", "--norm", "l2", "--eps", "1e-6", "--eps", "100", "--suite", "quick", "--json",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert run(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["clean_accuracy"]["value"] == pytest.approx(5 / 6)
    near, far = (each["robust_accuracy"]["value"] for each in record["budgets"])
    assert near == pytest.approx(5 / 6)
    assert far < near


def test_what_stands_in_a_text_is_text(folder):
    found = load_huggingface_text(folder)
    assert 4 not in found.framing.tokeniser.encode("a [MASK] film")


def test_a_tokeniser_of_another_kind_and_pickled_weights_are_refused(folder, tmp_path):
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"pairs are not \[CLS\] A \[SEP\] B \[SEP\]"):
        load_huggingface_text(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="could run code and is not read"):
        load_huggingface_text(tmp_path)


def saved(kind, folder, into, **options):
    """A network of another architecture, with the tokeniser of `folder`."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=11, **options)
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(into)
    (into / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    return into


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def test_what_reads_padding_is_refused(folder, tmp_path):
    net = saved(
        "GPT2", folder, tmp_path, n_positions=16, n_embd=16, n_layer=2, n_head=2, pad_token_id=0,
        initializer_range=0.5,
    )  # fmt: skip
    with pytest.raises(InputError, match="what it says of a text depends on its padding"):
        load_huggingface_text(net)


def test_positions_are_those_there_are(folder, tmp_path):
    """RoBERTa's first two are of no word; and one table of segments has nothing to add."""
    net = saved(
        "Roberta", folder, tmp_path, intermediate_size=24, max_position_embeddings=14,
        type_vocab_size=1, pad_token_id=0, **SMALL,
    )  # fmt: skip
    found = load_huggingface_text(net)
    longest = found.framing.most
    assert longest == 13  # one position is of padding
    found.model(found.framing.singles([" ".join(["film"] * (longest - 2))]).tokens)
    assert found.model(found.framing.pairs(["good film"], ["bad"]).tokens).shape == (1, 2)
