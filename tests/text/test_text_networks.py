"""Transformer and BERT against torch's and Hugging Face's, and what holds of them by construction."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.text import (
    BERTS,
    TRANSFORMERS,
    Bert,
    BertDesign,
    ClassificationHead,
    MLMHead,
    NSPHead,
    SequenceClassifier,
    Tokens,
    Transformer,
    TransformerDesign,
    last_four,
    padded,
    sinusoids,
)
from saddlepoint.zoo import record_attention

F64 = torch.float64
SMALL = TransformerDesign(30, 16, 2, 4, 24, dropout=0.0)
SOURCE = padded([[7, 8, 9, 10, 6], [11, 12, 6]])
TARGET = padded([[5, 13, 14, 15], [5, 16, 17, 18]])
TINY_BERT = BertDesign(40, 16, 4, 4, 24, 12)
PAIR = padded([[2, 7, 8, 3, 9, 10, 3], [2, 11, 3, 12, 3]], [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1]])


def transformer(**changes):
    torch.manual_seed(0)
    net = Transformer(TransformerDesign(**{**vars(SMALL), **changes})).to(F64).eval()
    for parameter in net.parameters():  # biases and norms too
        nn.init.normal_(parameter, std=0.3)
    return net


def bert(design=TINY_BERT):
    torch.manual_seed(0)
    net = Bert(design).to(F64).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def longer(tokens, extra=2):
    """The same sequences with more padding, whose ids are not even 0."""
    n = len(tokens)
    ids = torch.cat([tokens.ids, torch.full((n, extra), 13)], 1)
    keep = torch.cat([tokens.keep, torch.zeros(n, extra, dtype=torch.bool)], 1)
    return Tokens(ids, keep)


TORCH_NAMES = {
    "attention.qkv.": "self_attn.in_proj_", "attention.out": "self_attn.out_proj",
    "cross.qkv.": "multihead_attn.in_proj_", "cross.out": "multihead_attn.out_proj",
    "mlp.expand": "linear1", "mlp.contract": "linear2",
}  # fmt: skip


def in_torchs_names(blocks, norms):
    found = {}
    for name, value in blocks.state_dict().items():
        for ours, theirs in {**TORCH_NAMES, **norms}.items():
            name = name.replace(ours, theirs)
        found[f"layers.{name}"] = value
    return found


@pytest.mark.parametrize("order", ["post-norm", "pre-norm"])
def test_encoder_and_decoder_are_torchs(order):
    net = transformer(order=order)
    options = {
        "d_model": 16, "nhead": 4, "dim_feedforward": 24, "dropout": 0.0, "batch_first": True,
        "norm_first": order == "pre-norm", "dtype": F64,
    }  # fmt: skip
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**options), 2, norm=None, enable_nested_tensor=False
    ).eval()
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**options), 2, norm=None).eval()
    encoder.load_state_dict(
        in_torchs_names(net.encoder, {"add_attention.norm": "norm1", "add_mlp.norm": "norm2"})
    )
    norms = {"add_attention.norm": "norm1", "add_cross.norm": "norm2", "add_mlp.norm": "norm3"}
    decoder.load_state_dict(in_torchs_names(net.decoder, norms))

    x, y = net.embedded(SOURCE), net.embedded(TARGET)
    memory = net.encoder_norm(encoder(x, src_key_padding_mask=~SOURCE.keep))
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    hidden = net.decoder_norm(
        decoder(y, memory, tgt_mask=later, memory_key_padding_mask=~SOURCE.keep)
    )
    seen = SOURCE.keep
    torch.testing.assert_close(net.encode(SOURCE)[seen], memory[seen], rtol=1e-9, atol=1e-12)
    expected = hidden @ net.embedding.weight.T
    torch.testing.assert_close(net(SOURCE, TARGET), expected, rtol=1e-9, atol=1e-12)


def test_embeddings_are_multiplied_by_the_root_of_the_width():
    net = transformer()
    expected = 4 * net.embedding.weight[SOURCE.ids] + sinusoids(torch.arange(5), 16).float()
    torch.testing.assert_close(net.embedded(SOURCE), expected)


HF_NAMES = {
    "words.weight": "embeddings.word_embeddings.weight",
    "segments.weight": "embeddings.token_type_embeddings.weight",
    "positions.table": "embeddings.position_embeddings.weight",
    "pooler": "pooler.dense", "blocks": "encoder.layer", "attention.out": "attention.output.dense",
    "add_attention.norm": "attention.output.LayerNorm", "mlp.expand": "intermediate.dense",
    "mlp.contract": "output.dense", "add_mlp.norm": "output.LayerNorm",
}  # fmt: skip


def in_hugging_faces_names(state):
    found = {}
    for name, value in state.items():
        if ".qkv." in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                other = name.replace("attention.qkv", f"attention.self.{part}")
                found[other.replace("blocks", "encoder.layer")] = rows
            continue
        if name.startswith("norm."):
            name = f"embeddings.LayerNorm.{name[5:]}"
        for ours, theirs in HF_NAMES.items():
            name = name.replace(ours, theirs)
        found[name] = value
    return found


def hf_config(transformers):
    return transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=24, max_position_embeddings=12, pad_token_id=0,
    )  # fmt: skip


def test_bert_is_hugging_faces():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    ours = bert()
    theirs = transformers.BertModel(hf_config(transformers)).to(F64).eval()
    missing = theirs.load_state_dict(in_hugging_faces_names(ours.state_dict()), strict=False)
    assert missing.unexpected_keys == []
    assert all("position_ids" in name for name in missing.missing_keys)
    expected = theirs(PAIR.ids, PAIR.keep.long(), PAIR.segments, output_hidden_states=True)
    hidden, seen = ours(PAIR), PAIR.keep
    torch.testing.assert_close(
        hidden[seen], expected.last_hidden_state[seen], rtol=1e-9, atol=1e-12
    )
    pooled = ours.pooled(hidden, PAIR.keep)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-9, atol=1e-12)
    every = ours.layers(ours.embed(PAIR), PAIR.keep)
    assert len(every) == len(expected.hidden_states) == 5
    for one, other in zip(every, expected.hidden_states, strict=True):
        torch.testing.assert_close(one[seen], other[seen], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(last_four(ours, PAIR), torch.cat(every[1:], -1))


def test_the_heads_of_pre_training_are_hugging_faces():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    ours, mlm, nsp = bert(), MLMHead(16, 40).to(F64), NSPHead(16).to(F64)
    nn.init.normal_(mlm.bias)
    theirs = transformers.BertForPreTraining(hf_config(transformers)).to(F64).eval()
    state = {f"bert.{k}": v for k, v in in_hugging_faces_names(ours.state_dict()).items()}
    for name, value in mlm.state_dict().items():
        new = name.replace("dense", "transform.dense").replace("norm", "transform.LayerNorm")
        state[f"cls.predictions.{new}"] = value
    state |= {f"cls.seq_relationship.{k[7:]}": v for k, v in nsp.state_dict().items()}
    table = ours.words.weight
    state |= {"cls.predictions.decoder.weight": table, "cls.predictions.decoder.bias": mlm.bias}
    found = theirs.load_state_dict(state, strict=False)
    assert found.unexpected_keys == []
    expected = theirs(PAIR.ids, PAIR.keep.long(), PAIR.segments)
    hidden, seen = ours(PAIR), PAIR.keep
    torch.testing.assert_close(
        mlm(hidden, table)[seen], expected.prediction_logits[seen], rtol=1e-9, atol=1e-12
    )
    torch.testing.assert_close(
        nsp(ours.pooled(hidden)), expected.seq_relationship_logits, rtol=1e-9, atol=1e-12
    )


def test_the_parameters_are_as_many_as_published():
    with torch.device("meta"):
        base, large = Transformer(TRANSFORMERS["transformer-base"]), Bert(BERTS["bert-base"])
        micro = Bert(BERTS["bert-micro"])
    assert sum(p.numel() for p in base.parameters()) == 63_082_496
    assert sum(p.numel() for p in large.parameters()) == 109_482_240
    assert 1.2e6 < sum(p.numel() for p in micro.parameters()) < 1.4e6


def test_no_token_sees_what_comes_after_it():
    net = transformer()
    before = net(SOURCE, TARGET)
    for t in range(1, 4):
        ids = TARGET.ids.clone()
        ids[:, t] = 20
        after = net(SOURCE, Tokens(ids, TARGET.keep))
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.allclose(after[:, t], before[:, t])


def test_bert_sees_both_sides_and_a_language_model_one():
    ids = PAIR.ids.clone()
    ids[0, 5] = 20
    for direction, sees in (("both", True), ("left-to-right", False)):
        net = bert(BertDesign(**{**vars(TINY_BERT), "direction": direction}))
        one, other = net(PAIR), net(Tokens(ids, PAIR.keep, PAIR.segments))
        assert torch.equal(one[0, :5], other[0, :5]) is not sees
        assert not torch.allclose(one[0, 5:], other[0, 5:])
        pooled = net.pooled(one, PAIR.keep) - net.pooled(other, PAIR.keep)
        assert bool(pooled[0].any())
        assert not bool(pooled[1].any())


def test_padding_changes_nothing():
    net = transformer()
    n = TARGET.ids.shape[1]
    expected = net(SOURCE, TARGET)
    torch.testing.assert_close(net(longer(SOURCE), longer(TARGET))[:, :n], expected)
    alone = net(padded([[11, 12, 6]]), TARGET.at(slice(1, 2)))
    torch.testing.assert_close(alone, expected[1:])
    classifier = SequenceClassifier(bert(), ClassificationHead(16, 3).to(F64)).eval()
    one = padded([[2, 11, 3]])
    torch.testing.assert_close(classifier(longer(one)), classifier(one))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])
@pytest.mark.parametrize("order", ["post-norm", "pre-norm"])
def test_decoding_step_by_step_is_decoding_at_once(positions, order):
    net = transformer(positions=positions, order=order)
    target = padded([[5, 13, 14, 15], [5, 16]])
    memory, cache = net.encode(SOURCE), net.new_cache()
    steps = []
    for t in range(4):
        new = Tokens(target.ids[:, t : t + 1], target.keep[:, t : t + 1])
        steps.append(net.decode(new, memory, SOURCE.keep, cache))
    whole = net.decode(target, memory, SOURCE.keep)
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-6, atol=1e-9)
    assert len(cache) == 4


def test_without_positions_the_encoder_is_equivariant():
    order = torch.tensor([3, 0, 4, 2, 1])
    one = SOURCE.at(slice(0, 1))
    moved = Tokens(one.ids[:, order], one.keep)
    for positions, same in (("none", True), ("sinusoidal", False)):
        net = transformer(positions=positions)
        found, expected = net.encode(moved), net.encode(one)[:, order]
        assert torch.allclose(found, expected, rtol=1e-9) is same


def test_a_shift_of_sinusoids_is_a_rotation():
    d, k = 8, 3
    table, angle = sinusoids(torch.arange(50), d), k * 10000.0 ** (-torch.arange(0, d, 2) / d)
    pairs = table[:47].unflatten(1, (-1, 2))
    sine, cosine = pairs[..., 0], pairs[..., 1]
    s, c = angle.double().sin(), angle.double().cos()
    turned = torch.stack([sine * c + cosine * s, cosine * c - sine * s], -1).flatten(1)
    torch.testing.assert_close(turned, table[3:], rtol=1e-6, atol=1e-6)
    places = torch.arange(3)[:, None] / 10000 ** (torch.arange(4) * 2 / 8)
    torch.testing.assert_close(table[:3, ::2].float(), places.sin())
    torch.testing.assert_close(table[:3, 1::2].float(), places.cos())


def test_codes_go_on_beyond_what_is_kept_and_learned_ones_do_not():
    long = padded([list(range(7, 27))])
    sinus, learned = transformer(most=4), transformer(most=4, positions="learned")
    torch.testing.assert_close(
        sinus.embedded(long), transformer().embedded(long), rtol=1e-6, atol=1e-6
    )
    with pytest.raises(InputError, match="20 tokens is longer than the 4 positions"):
        learned.encode(long)


def test_products_of_unit_normals_have_the_variance_of_their_length():
    q, k = torch.randn(2, 20_000, 64, generator=torch.Generator().manual_seed(0))
    product = (q * k).sum(1)
    # the variance of a sample variance, with the fourth moment 3d² + 6d of a product
    sd = math.sqrt((3 * 64**2 + 6 * 64 - 64**2) / 20_000)
    assert abs(product.var().item() - 64) < 4 * sd


def test_dropout_stands_where_the_paper_says():
    net = transformer(dropout=0.5).train()
    drops = [name for name, part in net.named_modules() if isinstance(part, nn.Dropout) and part.p]
    places = ["dropout"]
    places += [f"encoder.{i}.add_{x}.dropout" for i in (0, 1) for x in ("attention", "mlp")]
    places += [
        f"decoder.{i}.add_{x}.dropout" for i in (0, 1) for x in ("attention", "cross", "mlp")
    ]
    assert drops == places
    assert all(layer.attention.dropout == 0 for layer in net.encoder)
    both = bert().blocks[0]
    assert (both.attention.dropout, both.add_mlp.dropout.p, both.mlp.dropout.p) == (0.1, 0.1, 0.0)


def test_the_attention_of_every_layer_can_be_recorded():
    net = transformer()
    with record_attention(net) as maps:
        net(SOURCE, TARGET)
    assert maps["decoder.1.cross"].shape == (2, 4, 4, 5)
    assert not bool(maps["decoder.1.cross"][1, :, :, 3:].any())
    assert set(maps) == {
        *(f"encoder.{i}.attention" for i in (0, 1)),
        *(f"decoder.{i}.{x}" for i in (0, 1) for x in ("attention", "cross")),
    }


def test_bad_shapes_are_told():
    with pytest.raises(InputError, match=r"ids are \(1, 3\) and keep \(1, 2\)"):
        Tokens(torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(InputError, match="no sequence"):
        padded([])
    with pytest.raises(InputError, match="16 features do not divide among 3 heads"):
        Transformer(TransformerDesign(30, 16, 2, 3))


def test_layer_norm_is_batch_norm_of_the_transpose():
    x = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = nn.LayerNorm(8, elementwise_affine=False).double()
    batch = nn.BatchNorm1d(6, affine=False, track_running_stats=False).double()
    torch.testing.assert_close(layer(x), batch(x.T).T, rtol=1e-12, atol=1e-12)
