"""The experiments on texts."""

from __future__ import annotations

from saddlepoint.lab.bert_figure import draw_bert_labels
from saddlepoint.lab.bert_labels import BertSettings, run_bert_labels
from saddlepoint.lab.experiment import Experiment
from saddlepoint.lab.text_ablations import (
    AblationSettings,
    draw_text_ablations,
    run_text_ablations,
)
from saddlepoint.lab.text_data_size import TextSizeSettings, run_text_data_size
from saddlepoint.lab.text_rules import RuleSettings, draw_text_rules, run_text_rules
from saddlepoint.lab.text_verses import VerseSettings, draw_text_verses, run_text_verses

_VASWANI = "Vaswani et al. 2017, arXiv:1706.03762"
_DEVLIN = "Devlin et al. 2019, arXiv:1810.04805"

TEXT_EXPERIMENTS = (
    Experiment(
        "text-rules", "a Transformer on sets with known answers: exact matches on other texts",
        _VASWANI, RuleSettings, run_text_rules, draw_text_rules, images=1,
    ),
    Experiment(
        "text-verses", "BLEU of short verses, against copying and word for word by IBM model 1",
        _VASWANI, VerseSettings, run_text_verses, draw_text_verses, images=1,
    ),
    Experiment(
        "text-ablations", "heads, width, depth, dropout, smoothing, positions, order of norms",
        _VASWANI, AblationSettings, run_text_ablations, draw_text_ablations, images=1,
    ),
    Experiment(
        "text-data-size", "labelled texts that a Transformer, a recurrence and convolutions need",
        _VASWANI, TextSizeSettings, run_text_data_size, draw_bert_labels, images=1,
    ),
    Experiment(
        "bert-labels", "pre-training of several kinds, then few labels, against a bag of words",
        _DEVLIN, BertSettings, run_bert_labels, draw_bert_labels, images=1,
    ),
)  # fmt: skip
"""In the order of their list."""
