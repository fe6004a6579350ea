"""Text: networks that read and write it, tokenisers, rule-made sets, decoding, translations."""

from __future__ import annotations

from saddlepoint.text.alignment import IBM1, WordTable, fit_ibm1
from saddlepoint.text.averaging import averaged
from saddlepoint.text.bert import BERTS, Bert, BertDesign
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
from saddlepoint.text.decoding import BeamSearch, Greedy, Written
from saddlepoint.text.embedded import EmbeddedText, Embeds, FromEmbedding, flagged
from saddlepoint.text.folder import (
    TOKENISER_FILE,
    TrainedText,
    check_named,
    load_trained_text,
    told_of,
)
from saddlepoint.text.framed import (
    FramedText,
    NextSentences,
    Sentences,
    TaggedWords,
    Translations,
)
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
from saddlepoint.text.huggingface import (
    HuggingFaceClassifier,
    HuggingFaceTokeniser,
    load_huggingface_text,
    load_text_classifier,
)
from saddlepoint.text.masking import MASKINGS, Masked, Masking
from saddlepoint.text.mending import mended
from saddlepoint.text.next_sentence import SentencePair, documents_of, sentence_pairs, sentences
from saddlepoint.text.positions import TEXT_POSITIONS, sinusoids
from saddlepoint.text.registry import (
    TEXT_MODELS,
    TextModelInfo,
    described,
    rebuilt,
    text_model,
    with_head,
    with_token_head,
)
from saddlepoint.text.rules import RULES, Example, Rule, RuleSet, rule_set
from saddlepoint.text.smoothing import SMOOTHINGS, OverAll, OverOthers, masked_loss
from saddlepoint.text.text_data import Row, TextData
from saddlepoint.text.text_files import TextColumns, read_texts
from saddlepoint.text.text_sets import TEXT_SETS, TextSet, is_text, load_text, of_rules
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
from saddlepoint.text.translating import CrossAttention, Translated, cross_attention, translate
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
    "TEXT_MODELS",
    "TEXT_POSITIONS",
    "TEXT_SETS",
    "TOKENISERS",
    "TOKENISER_FILE",
    "TRANSFORMERS",
    "Baselines",
    "BeamSearch",
    "Bert",
    "BertDesign",
    "Bleu",
    "BlockDesign",
    "CharacterTokeniser",
    "ClassificationHead",
    "CrossAttention",
    "DecoderBlock",
    "DecoderCache",
    "EmbeddedText",
    "Embeds",
    "EncoderBlock",
    "Example",
    "Framed",
    "FramedText",
    "Framing",
    "FromEmbedding",
    "Greedy",
    "HuggingFaceClassifier",
    "HuggingFaceTokeniser",
    "Kept",
    "MLMHead",
    "Masked",
    "Masking",
    "NSPHead",
    "NextSentences",
    "OverAll",
    "OverOthers",
    "PairFilter",
    "Row",
    "Rule",
    "RuleSet",
    "SentencePair",
    "Sentences",
    "SequenceClassifier",
    "TaggedWords",
    "TextColumns",
    "TextData",
    "TextModelInfo",
    "TextSet",
    "TokenClassifier",
    "TokenHead",
    "Tokeniser",
    "Tokens",
    "TrainedText",
    "Transformer",
    "TransformerDesign",
    "Translated",
    "Translations",
    "WordPieceTokeniser",
    "WordTable",
    "WordTokeniser",
    "Written",
    "averaged",
    "baselines",
    "bleu",
    "check_named",
    "check_vocabulary",
    "cross_attention",
    "described",
    "documents_of",
    "fit_ibm1",
    "flagged",
    "is_text",
    "last_four",
    "load_huggingface_text",
    "load_text",
    "load_text_classifier",
    "load_tokeniser",
    "load_trained_text",
    "masked_loss",
    "mended",
    "next_tokens",
    "of_rules",
    "padded",
    "read_pairs",
    "read_texts",
    "rebuilt",
    "rule_set",
    "sentence_pairs",
    "sentences",
    "sinusoids",
    "text_model",
    "told_of",
    "translate",
    "with_head",
    "with_token_head",
    "without_those_of",
]
