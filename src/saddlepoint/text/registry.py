"""The text networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.heads import (
    ClassificationHead,
    SequenceClassifier,
    TokenClassifier,
    TokenHead,
)
from saddlepoint.text.transformer import TRANSFORMERS, Transformer, TransformerDesign
from saddlepoint.zoo.design import changed

TextDesign = TransformerDesign | BertDesign
Headed = SequenceClassifier | TokenClassifier
TextNetwork = Transformer | Bert | Headed


@dataclass(frozen=True)
class TextModelInfo:
    """A name, the design of the network, and where it was published.

    >>> TEXT_MODELS["bert-micro"].design.width
    128
    """

    name: str
    design: TextDesign
    reference: str

    def build(
        self, vocabulary: int, options: Mapping[str, Any] | None = None, *, seed: int = 0
    ) -> Transformer | Bert:
        """Return the network for so many tokens, as it begins at a seed.

        Raises `InputError` for an unknown option.
        """
        given = dict(options or {})
        if given.pop("vocabulary", vocabulary) != vocabulary:
            raise InputError(
                f"{self.name}: vocabulary is the tokeniser's; leave the option out, and give"
                " --vocabulary"
            )
        design = replace(changed(self.name, self.design, given), vocabulary=vocabulary)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return _network(design)


_VASWANI = "Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762"
_DEVLIN = "Devlin et al., BERT, 2019, arXiv:1810.04805"
TEXT_MODELS: Mapping[str, TextModelInfo] = MappingProxyType(
    {
        **{name: TextModelInfo(name, each, _VASWANI) for name, each in TRANSFORMERS.items()},
        **{name: TextModelInfo(name, each, _DEVLIN) for name, each in BERTS.items()},
    }
)
"""The networks by name."""


def text_model(name: str) -> TextModelInfo:
    """Return what is known of a network by its name.

    Raises `InputError` for an unknown one.

    >>> text_model("bert-macro")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown text model 'bert-macro'; did you mean 'bert-micro'? (known: ...)
    """
    if name not in TEXT_MODELS:
        raise unknown("text model", name, TEXT_MODELS)
    return TEXT_MODELS[name]


def with_head(bert: Bert, classes: int, *, seed: int = 0) -> SequenceClassifier:
    """Return a classifier with a fresh head on a BERT.

    >>> with_head(Bert(BertDesign(20, 16, 1, 2, 32, 8)), 3).head.linear.out_features
    3
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return SequenceClassifier(
            bert, ClassificationHead(bert.design.width, classes, std=bert.design.initial)
        )


def with_token_head(bert: Bert, classes: int, *, seed: int = 0) -> TokenClassifier:
    """Return a classifier of tokens with a fresh head on a BERT.

    >>> with_token_head(Bert(BertDesign(20, 16, 1, 2, 32, 8)), 3).head.linear.out_features
    3
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return TokenClassifier(bert, TokenHead(bert.design.width, classes, std=bert.design.initial))


def without_head(model: TextNetwork) -> Transformer | Bert:
    """Return the network that a head for classes stands on, or the network itself.

    >>> net = Bert(BertDesign(20, 16, 1, 2, 32, 8))
    >>> without_head(with_head(net, 3)) is net
    True
    """
    return model.bert if isinstance(model, Headed) else model


_HEADED: Mapping[str, type[Headed]] = {
    "classifier": SequenceClassifier,
    "token-classifier": TokenClassifier,
}


def described(model: nn.Module) -> dict[str, Any]:
    """Return what `rebuilt` makes a network of, as JSON values.

    Raises `InputError` for a network that is none of these.

    >>> described(Bert(BertDesign(20, 16, 1, 2, 32, 8)))["kind"]
    'bert'
    """
    for kind, headed in _HEADED.items():
        if isinstance(model, headed):
            outputs = model.head.linear.out_features
            return {"kind": kind, "design": asdict(model.bert.design), "classes": outputs}
    if isinstance(model, Bert):
        return {"kind": "bert", "design": asdict(model.design)}
    if isinstance(model, Transformer):
        return {"kind": "transformer", "design": asdict(model.design)}
    raise InputError(
        f"a {type(model).__name__} reads no text; give one of {', '.join(TEXT_MODELS)}"
    )


def rebuilt(told: Mapping[str, Any]) -> TextNetwork:
    """Return the network of a description, with weights that are yet to be read.

    >>> net = rebuilt(described(with_head(Bert(BertDesign(20, 16, 1, 2, 32, 8)), 3)))
    >>> net.head.linear.out_features
    3
    """
    if told["kind"] == "transformer":
        return _network(TransformerDesign(**told["design"]))
    bert = Bert(BertDesign(**told["design"]))
    if told["kind"] == "classifier":
        return with_head(bert, told["classes"])
    return with_token_head(bert, told["classes"]) if told["kind"] == "token-classifier" else bert


def _network(design: TextDesign) -> Transformer | Bert:
    return Transformer(design) if isinstance(design, TransformerDesign) else Bert(design)
