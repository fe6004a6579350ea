"""Text: networks that read and write it, tokenisers, rule-made sets, decoding, translations."""

from __future__ import annotations

from saddlepoint.text.averaging import averaged
from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
from saddlepoint.text.decoding import BeamSearch, Greedy, Written
from saddlepoint.text.heads import (
    ClassificationHead,
    MLMHead,
    NSPHead,
    SequenceClassifier,
    TokenClassifier,
    TokenHead,
    last_four,
)
from saddlepoint.text.positions import TEXT_POSITIONS, sinusoids
from saddlepoint.text.smoothing import SMOOTHINGS, OverAll, OverOthers, masked_loss
from saddlepoint.text.tokens import Tokens, padded
from saddlepoint.text.transformer import TRANSFORMERS, Transformer, TransformerDesign

__all__ = [
    "BERTS",
    "NORM_ORDERS",
    "SMOOTHINGS",
    "TEXT_POSITIONS",
    "TRANSFORMERS",
    "BeamSearch",
    "Bert",
    "BertDesign",
    "BlockDesign",
    "ClassificationHead",
    "DecoderBlock",
    "DecoderCache",
    "EncoderBlock",
    "Greedy",
    "MLMHead",
    "NSPHead",
    "OverAll",
    "OverOthers",
    "SequenceClassifier",
    "TokenClassifier",
    "TokenHead",
    "Tokens",
    "Transformer",
    "TransformerDesign",
    "Written",
    "averaged",
    "last_four",
    "masked_loss",
    "padded",
    "sinusoids",
]
