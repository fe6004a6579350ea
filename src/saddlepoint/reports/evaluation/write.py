"""The page of an evaluation as a file beside its record."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from saddlepoint.attacks import Criterion
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import CorruptionAccuracy, Evaluation
from saddlepoint.reports.evaluation.content import evaluation_document
from saddlepoint.reports.evaluation.pictures import gallery_of
from saddlepoint.reports.evaluation.sentences import worst_sentences
from saddlepoint.reports.page.document import PAGE
from saddlepoint.reports.page.parts import Gallery
from saddlepoint.reports.page.sentences import Sentences
from saddlepoint.reports.sentences import SENTENCE_FILTERS
from saddlepoint.text import EmbeddedText


def write_evaluation_page(
    record: Evaluation,
    out: Path | str,
    model: nn.Module,
    data: ImageData,
    criterion: Criterion,
    *,
    name: str,
    command: str = "",
    corruptions: CorruptionAccuracy | None = None,
) -> Path:
    """Write the page of the evaluation in `out`, one file that needs no other; return its path.

    Args:
        record: what lies in `out`.
        model, data, criterion: of the evaluation; the chosen images are given to the model again.
        name: what the model is called.
        command: what repeats it.
        corruptions: the same model's accuracy under common corruptions, to be shown as well.

    Raises `InputError` for corruptions of another model, `OutputError` where the disk refuses; the
    record stays.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import evaluate
    >>> from saddlepoint.zoo import build_model
    >>> import tempfile
    >>> data = load_data("digits", limit=8)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = evaluate(net, data, "Linf", eps=[0.1], suite="quick", out=folder)
    ...     options = {"criterion": Misclassified(), "name": "simple-cnn"}
    ...     path = write_evaluation_page(record, Path(folder), net, data, **options)
    ...     path.name, path.stat().st_size < 200_000
    ('report.html', True)
    """
    out = Path(out)
    if corruptions is not None and corruptions.config.get("model") != record.config.get("model"):
        raise InputError(
            f"the corruptions are of another model ({corruptions.config.get('model')}, not"
            f" {record.config.get('model')}); give those of this one"
        )
    gallery: Gallery | Sentences | None
    if isinstance(data, EmbeddedText):
        gallery = Sentences.of(worst_sentences(record, out, data), SENTENCE_FILTERS)
    else:
        gallery = gallery_of(record, out, model, data, criterion)
    return evaluation_document(record, out, name, command, gallery, corruptions).save(out / PAGE)
