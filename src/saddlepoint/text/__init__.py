"""Text: networks that read and write it, tokenisers, rule-made sets, decoding, translations."""

from __future__ import annotations

from saddlepoint.text.alignment import IBM1, WordTable, fit_ibm1
from saddlepoint.text.averaging import averaged
from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
from saddlepoint.text.decoding import BeamSearch, Greedy, Written
from saddlepoint.text.embedded import EmbeddedText, Embeds, FromEmbedding, flagged
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
from saddlepoint.text.translation import (
    Baselines,
    Bleu,
    Kept,
    PairFilter,
    baselines,
    bleu,
    read_pairs,
    without_those_of,
)

__all__ = [
    "BERTS",
    "IBM1",
    "MASKINGS",
    "NORM_ORDERS",
    "RULES",
    "SMOOTHINGS",
    "TEXT_POSITIONS",
    "TOKENISERS",
    "TRANSFORMERS",
    "Baselines",
    "BeamSearch",
    "Bert",
    "BertDesign",
    "Bleu",
    "BlockDesign",
    "CharacterTokeniser",
    "ClassificationHead",
    "DecoderBlock",
    "DecoderCache",
    "EmbeddedText",
    "Embeds",
    "EncoderBlock",
    "Example",
    "Framed",
    "Framing",
    "FromEmbedding",
    "Greedy",
    "Kept",
    "MLMHead",
    "Masked",
    "Masking",
    "NSPHead",
    "OverAll",
    "OverOthers",
    "PairFilter",
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
    "WordTable",
    "WordTokeniser",
    "Written",
    "averaged",
    "baselines",
    "bleu",
    "check_vocabulary",
    "documents_of",
    "fit_ibm1",
    "flagged",
    "last_four",
    "load_tokeniser",
    "masked_loss",
    "mended",
    "next_tokens",
    "padded",
    "read_pairs",
    "rule_set",
    "sentence_pairs",
    "sentences",
    "sinusoids",
    "without_those_of",
]
