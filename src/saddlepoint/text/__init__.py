"""Text: networks that read and write it, tokenisers, rule-made sets, decoding, translations."""

from __future__ import annotations

from saddlepoint.text.averaging import averaged
from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
from saddlepoint.text.decoding import BeamSearch, Greedy, Written
from saddlepoint.text.framing import Framed, Framing, next_tokens
from saddlepoint.text.heads import (
    ClassificationHead,
    MLMHead,
    NSPHead,
    SequenceClassifier,
    TokenClassifier,
    TokenHead,
    last_four,
)
from saddlepoint.text.masking import MASKINGS, Masked, Masking
from saddlepoint.text.mending import mended
from saddlepoint.text.next_sentence import SentencePair, documents_of, sentence_pairs, sentences
from saddlepoint.text.positions import TEXT_POSITIONS, sinusoids
from saddlepoint.text.rules import RULES, Example, Rule, RuleSet, rule_set
from saddlepoint.text.smoothing import SMOOTHINGS, OverAll, OverOthers, masked_loss
from saddlepoint.text.tokenisers import (
    TOKENISERS,
    CharacterTokeniser,
    Tokeniser,
    WordPieceTokeniser,
    WordTokeniser,
    check_vocabulary,
    load_tokeniser,
)
from saddlepoint.text.tokens import Tokens, padded
from saddlepoint.text.transformer import TRANSFORMERS, Transformer, TransformerDesign

__all__ = [
    "BERTS",
    "MASKINGS",
    "NORM_ORDERS",
    "RULES",
    "SMOOTHINGS",
    "TEXT_POSITIONS",
    "TOKENISERS",
    "TRANSFORMERS",
    "BeamSearch",
    "Bert",
    "BertDesign",
    "BlockDesign",
    "CharacterTokeniser",
    "ClassificationHead",
    "DecoderBlock",
    "DecoderCache",
    "EncoderBlock",
    "Example",
    "Framed",
    "Framing",
    "Greedy",
    "MLMHead",
    "Masked",
    "Masking",
    "NSPHead",
    "OverAll",
    "OverOthers",
    "Rule",
    "RuleSet",
    "SentencePair",
    "SequenceClassifier",
    "TokenClassifier",
    "TokenHead",
    "Tokeniser",
    "Tokens",
    "Transformer",
    "TransformerDesign",
    "WordPieceTokeniser",
    "WordTokeniser",
    "Written",
    "averaged",
    "check_vocabulary",
    "documents_of",
    "last_four",
    "load_tokeniser",
    "masked_loss",
    "mended",
    "next_tokens",
    "padded",
    "rule_set",
    "sentence_pairs",
    "sentences",
    "sinusoids",
]
