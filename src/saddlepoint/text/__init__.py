"""Text: networks that read and write it, tokenisers, rule-made sets, decoding, translations."""

from __future__ import annotations

from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
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
from saddlepoint.text.tokens import Tokens, padded
from saddlepoint.text.transformer import TRANSFORMERS, Transformer, TransformerDesign

__all__ = [
    "BERTS",
    "NORM_ORDERS",
    "TEXT_POSITIONS",
    "TRANSFORMERS",
    "Bert",
    "BertDesign",
    "BlockDesign",
    "ClassificationHead",
    "DecoderBlock",
    "DecoderCache",
    "EncoderBlock",
    "MLMHead",
    "NSPHead",
    "SequenceClassifier",
    "TokenClassifier",
    "TokenHead",
    "Tokens",
    "Transformer",
    "TransformerDesign",
    "last_four",
    "padded",
    "sinusoids",
]
