"""`saddlepoint train` on texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.assignments import model_options
from saddlepoint.cli.console import note, progress
from saddlepoint.cli.display import printable
from saddlepoint.cli.images import choose_device
from saddlepoint.cli.options import Subject
from saddlepoint.cli.text_options import TextOptions
from saddlepoint.cli.trained import Told, tell_trained
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    from saddlepoint.defences import Recipe
    from saddlepoint.objectives import TextObjective
    from saddlepoint.progress import Tick
    from saddlepoint.text import Framing, TextData, Tokeniser, TrainedText
    from saddlepoint.text.registry import TextNetwork

_CHARACTERS = ("rules:addition", "rules:dates", "rules:number-words")
_VOCABULARY = 4000
_TOLD = 5  # classes


def check_no_images(given: Subject, others: Mapping[str, object]) -> None:
    """Raise `InputError` for an option that is of images."""
    asked = {
        "--normalisation": None if given.normalisation == "auto" else given.normalisation,
        "--mean": given.mean,
        "--std": given.std,
        "--pretrained": given.pretrained or None,
        "--preprocessing": None if given.preprocessing == "auto" else given.preprocessing,
        "--output": given.output,
        "--image-size": given.image_size,
        "--download": given.download or None,
        "--weights-part": given.weights_part,
        **others,
    }
    for name, value in asked.items():
        if value is not None:
            raise InputError(f"{name} is of images, and {given.model} is of texts; leave it out")


def train_text(
    given: Subject,
    texts: TextOptions,
    plan: Recipe,
    out: Path,
    *,
    resume: bool,
    track: str | None,
    as_json: bool,
) -> None:
    """Train a Transformer or a BERT by a recipe."""
    from saddlepoint.objectives import TextObjective
    from saddlepoint.run_folders import check_free
    from saddlepoint.text import check_named, load_trained_text
    from saddlepoint.text.registry import described
    from saddlepoint.training import FILES
    from saddlepoint.training import train as run
    from saddlepoint.zoo import weights_fingerprint

    objective = plan.objective
    if not isinstance(objective, TextObjective):
        raise InputError(
            f"{given.model} is of texts, and {type(objective).__name__} is of images; give a recipe such as"
            " transformer, bert-pretrain or bert-finetune"
        )
    device = choose_device(given.device, given.threads)
    check_free(out, "train", FILES, {"seed": given.seed})
    before = None
    if given.weights is not None:
        check_named(given.weights, given.model)
        before = load_trained_text(given.weights)
    with progress("reading"):
        data, test = _data(given, texts, objective)
    if test is None:
        note(f"note: {data.name} has no test texts apart; nothing is measured on such")
    shared = 0 if test is None else _shared(data, test)
    if test is not None and shared:
        note(
            f"note: {shared:,} of {len(test):,} test texts are training texts too, where memory is measured"
        )
    _tell_empty(data)
    tokeniser = _tokeniser(given, texts, data, before)
    model = _model(given, objective, data, tokeniser, before).to(device)
    framing = _framing(texts, tokeniser, model, before)
    framed = objective.framed(data, framing, given.seed)
    tests = None if test is None else objective.framed(test, framing, given.seed)
    for each in (framed, tests):
        if each is not None and each.cut:
            note(
                f"note: {each.cut:,} texts in {len(each):,} rows ({each.split}) were cut to"
                f" {framing.most} tokens"
            )
    identity: dict[str, Any] = {
        "model": given.model,
        "model_options": model_options(given.model_option),
        "weights": None if given.weights is None else {"file": str(given.weights)},
        "tokeniser": {
            "kind": tokeniser.kind,
            "tokens": len(tokeniser),
            "fingerprint": tokeniser.fingerprint,
        },
        "longest": framing.most,
        "truncate": framing.truncate,
        "cut": {each.split: each.cut for each in (framed, tests) if each is not None},
        "data": given.data,
        "test_texts_in_training": shared,
        "initial_weights": weights_fingerprint(model),
        "design": described(model),
    }
    begun = False

    def tell(tick: Tick) -> None:
        nonlocal begun
        if not begun and not as_json:
            note(
                f"training {given.model} on {len(framed):,} texts of {framed.name} by"
                f" {type(objective).__name__}, {len(tokeniser):,} tokens ({tokeniser.kind})"
            )
        begun = True
        show(tick)

    with progress("training") as show:
        trained = run(
            model, framed, plan, out=out, test=tests, seed=given.seed, resume=resume,
            identity=identity, tracker=track, progress=tell,
        )  # fmt: skip
    more = {"tokeniser": tokeniser.fingerprint}
    tell_trained(trained, Told(given.model, framed.name, out, plan, more), as_json)


def _tell_empty(data: TextData) -> None:
    """Note classes that no text is of."""
    if data.labels is None:
        return
    counts = data.labels.bincount(minlength=len(data.classes)).tolist()
    none = [name for name, count in zip(data.classes, counts, strict=True) if not count]
    if none:
        told = ", ".join(map(printable, none[:_TOLD])) + (", …" if len(none) > _TOLD else "")
        note(f"note: no text of {data.name} is of the class {told}")


def _shared(data: TextData, test: TextData) -> int:
    """Return how many test texts are training texts."""
    known = set(data.rows)
    return sum(row in known for row in test.rows)


def _data(
    given: Subject, texts: TextOptions, objective: TextObjective
) -> tuple[TextData, TextData | None]:
    """Return training texts, and test texts where there are some."""
    from saddlepoint.text import TextColumns, load_text

    if texts.label is not None and not objective.reads_labels:
        raise InputError(
            f"--label is of classes, and {type(objective).__name__} learns none; leave it out"
        )
    columns = TextColumns(tuple(texts.column or ()), texts.label, objective.reads_labels)
    data = load_text(
        given.data, split="train", data_root=given.data_root, columns=columns, limit=given.limit,
        words=texts.words,
    )  # fmt: skip
    if texts.test is None and data.split == "all":
        return data, None
    test = load_text(
        given.data if texts.test is None else texts.test, split="test", data_root=given.data_root,
        columns=columns, limit=given.limit, words=texts.words, classes=data.classes,
    )  # fmt: skip
    return data, test


def _tokeniser(
    given: Subject, texts: TextOptions, data: TextData, before: TrainedText | None
) -> Tokeniser:
    """Return the tokeniser of the weights, of a file, or one that is trained on the texts."""
    from saddlepoint.text import TOKENISERS, load_tokeniser

    file = texts.tokeniser is not None and texts.tokeniser.endswith(".json")
    fresh = {"--vocabulary": texts.vocabulary, "--lower": texts.lower or None}
    if before is not None or file:
        asked = {**fresh, "--tokeniser": texts.tokeniser if before is not None else None}
        for name, value in asked.items():
            if value is not None:
                raise InputError(
                    f"{name} is of a new tokeniser, and there is one already; leave it out"
                )
    if before is not None:
        return before.framing.tokeniser
    if file:
        return load_tokeniser(Path(str(texts.tokeniser)))
    kind = texts.tokeniser
    if kind is None:
        kind = "characters" if given.data in _CHARACTERS else "words"
        kind = kind if given.data.startswith("rules:") else "wordpiece"
    if kind not in TOKENISERS:
        raise unknown("tokeniser", kind, (*TOKENISERS, "FILE.json"))
    every = (text for row in data.rows for text in row)
    return TOKENISERS[kind].trained(every, texts.vocabulary or _VOCABULARY, lower=texts.lower)


def _model(
    given: Subject,
    objective: TextObjective,
    data: TextData,
    tokeniser: Tokeniser,
    before: TrainedText | None,
) -> TextNetwork:
    """Return the network as training begins; a BERT gets a fresh head for classes where it has none."""
    from saddlepoint.text import Bert, Transformer, text_model
    from saddlepoint.text.registry import Headed, without_head

    info = text_model(given.model)
    model: TextNetwork
    if before is None:
        model = info.build(len(tokeniser), model_options(given.model_option), seed=given.seed)
    else:
        if given.model_option:
            raise InputError("--model-option is of a new network; leave it out beside --weights")
        assert isinstance(before.model, Transformer | Bert | Headed)
        model = before.model
        own = without_head(model)
        if type(own.design) is not type(info.design):
            raise InputError(
                f"{given.weights} holds a {type(own).__name__}, and {given.model} is none; name its kind"
            )
    known = () if before is None else before.classes
    fitted = objective.fitted(model, data, known, given.seed)
    if known and data.classes and known != data.classes:
        note(
            f"note: {given.weights} tells {', '.join(map(printable, known))}, and {data.name} other"
            " classes: the head is a new one"
        )
    return fitted


def _framing(
    texts: TextOptions, tokeniser: Tokeniser, model: TextNetwork, before: TrainedText | None
) -> Framing:
    from saddlepoint.text import Framing
    from saddlepoint.text.registry import without_head

    bare = without_head(model)
    positions = bare.positions.longest
    most = texts.longest or (None if before is None else before.framing.most) or positions
    if positions is not None and most is not None and most > positions:
        more = f", or --model-option most={most}" if before is None else ""
        raise InputError(
            f"--longest is {most}, and the model has {positions} positions; give at most so many{more}"
        )
    truncate = texts.truncate or (before is not None and before.framing.truncate)
    return Framing(tokeniser, most, truncate)
