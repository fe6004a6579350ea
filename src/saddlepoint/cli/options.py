"""Options that several commands share, in the words of their help."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from saddlepoint.cli import complete
from saddlepoint.counts import MOST, MOST_SEED, MOST_SIDE, MOST_THREADS

Data = Annotated[
    str,
    typer.Option(
        help="A name (see `saddlepoint data`), a folder of class folders, a .npz, a .parquet, or"
        " FILE.py:NAME, which runs that file's code; of texts rules:NAME, a .csv, .tsv, .jsonl or .txt.",
        autocompletion=complete.of(complete.DATA),
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="zoo:NAME, timm:NAME, torchvision:NAME, hf:FOLDER of a Hugging Face classifier, a name of an"
        " installed package (see `saddlepoint models`), or FILE.py:CALLABLE, which runs that file's"
        " code.",
        autocompletion=complete.of(complete.MODELS),
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        help="An option of a zoo model or of an own callable, NAME=VALUE: patch=8, positions=2d,"
        " depths=2,2,2 …; repeatable. [default: those of the training in --weights]",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A file of weights, .safetensors or of torch.save under any name (read without running"
        " code), or the folder of a training, whose transforms (quantised layers, noise) are then"
        " applied first."
    ),
]
WeightsPart = Annotated[
    str | None,
    typer.Option(help="Which network of a file that holds several: ema, teacher …"),
]
Out = Annotated[Path, typer.Option(help="The folder for the results; one folder holds one run.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Where named data sets lie. [default: $SADDLEPOINT_DATA]", show_default=False
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download a named data set (torchvision).")
]
ImageSize = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_SIDE, help="Resize and crop images of differing sizes to this."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, max=MOST, help="Use only the first N images of each split.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of every random draw.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads for torch.")
]
Normalisation = Annotated[
    str,
    typer.Option(
        help="data: the data's mean and standard deviation; imagenet; none; auto: the weights', else data"
        " (FILE.py models: none)."
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="In place of --normalisation: the mean of each channel on the scale 0 … 1, such as"
        " 0.4914,0.4822,0.4465; with --std."
    ),
]
Std = Annotated[
    str | None, typer.Option(help="The standard deviation of each channel; with --mean.")
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="A file that says which output of the model each class of the data is: a line each,"
        " such as `cat: 281`, or the names of all outputs; ImageNet's names and WordNet ids are known."
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option("--pretrained", help="Start from the weights that timm or torchvision offer."),
]
Preprocessed = Annotated[
    str,
    typer.Option(
        "--preprocessing",
        help="own: resize and crop as the model's pretrained weights expect, by layers that attacks see;"
        " none; auto: own for hf models, and for --pretrained ones whose images are of another size.",
        autocompletion=complete.of(complete.PREPROCESSING),
    ),
]
Norm = Annotated[
    str,
    typer.Option(
        help="linf, l2, l1, l0 (the budget is the number of features that change), or patches:4 (that of"
        " 4×4 patches); of embedded text linf, l2, l2-token (of each token by itself), or l2-root (eps times"
        " the root of the length).",
        autocompletion=complete.of(complete.NORMS),
    ),
]
Space = Annotated[
    str,
    typer.Option(
        help="pixels; normalised: the budget is on (x − mean)/std; embedding: of text, on the"
        " embeddings of its tokens.",
        autocompletion=complete.of(complete.SPACES),
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, max=MOST, help="Images per pass.")]
Split = Annotated[
    str,
    typer.Option(help="test, train or all.", autocompletion=complete.of(complete.SPLITS)),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Criterion = Annotated[
    str,
    typer.Option(
        help="What counts as fooled: misclassified, outside-top-K, binary-logit for a model with"
        " one logit, or rejecting-K for one that rejects by class K; or FILE.py:NAME, which runs"
        " that file's code."
    ),
]
Corruption = Annotated[
    str | None,
    typer.Option(
        help="NAME:SEVERITY, such as fog:3: first corrupt the images so (see `saddlepoint"
        " corruptions`).",
        autocompletion=complete.corruption,
        show_default=False,
    ),
]
Suite = Annotated[
    str,
    typer.Option(
        help="The attacks whose number is judged: fast, quick, standard, thorough, minimum-norm or"
        " rand; or a YAML file of attacks.",
        autocompletion=complete.of(complete.SUITES),
    ),
]
EotSamples = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Passes averaged per step for random models. [default: 10 for those, else 1]",
        show_default=False,
    ),
]


Output = Annotated[
    str | None,
    typer.Option(
        help="Which output of the model are the logits, where it returns a dict, a tuple or an"
        " object: a name, or a place from 0.",
        show_default=False,
    ),
]
SurrogateModel = Annotated[
    str | None, typer.Option(help="The surrogate's architecture, if not that of --model.")
]
TransformFiles = Annotated[
    list[str] | None,
    typer.Option(
        help="FILE.py:NAME of a transform that the training in --weights used, whose code is run; or"
        " NAME or NAME:KEY=VALUE,… of one for the model as it is, such as ten-crop or"
        " defense-gan:generator=FOLDER,restarts=10; repeatable.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images, how they are read, and where they and the model are."""

    data: Data
    device: Device = "auto"
    threads: Threads = None
    data_root: DataRoot = None
    download: Download = False
    image_size: ImageSize = None
    limit: Limit = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and what it gets: weights, normalisation, and the seed of both where there are
    none.
    """

    model: Model
    model_option: ModelOption = None
    weights: Weights = None
    weights_part: WeightsPart = None
    seed: Seed = 0
    normalisation: Normalisation = "auto"
    mean: Mean = None
    std: Std = None
    pretrained: Pretrained = False
    preprocessing: Preprocessed = "auto"
    output: Output = None

    @property
    def free(self) -> bool:
        """Whether the normalisation is left to the weights."""
        return self.normalisation == "auto" and self.mean is None


@dataclass(frozen=True, kw_only=True)
class Subject(ModelOptions, DataOptions):
    """A model and the images it is for."""


@dataclass(frozen=True, kw_only=True)
class Measured(Subject):
    """A subject that is measured as it is."""

    split: Split = "test"
    classes: Classes = None
    transform: TransformFiles = None


@dataclass(frozen=True, kw_only=True)
class Corruptible(Measured):
    """A subject that is measured as it is, on images that may be corrupted first."""

    corruption: Corruption = None


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for every field of those parameters that are dataclasses."""
    hints = get_type_hints(command, include_extras=True)
    bundles: dict[str, type[Any]] = {
        name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        given = signature(bundles[name]).parameters if name in bundles else {name: parameter}
        kinds = get_type_hints(bundles[name], include_extras=True) if name in bundles else hints
        parameters += [
            each.replace(kind=Parameter.KEYWORD_ONLY, annotation=kinds[key])
            for key, each in given.items()
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, kind in bundles.items():
            given[name] = kind(**{field: given.pop(field) for field in signature(kind).parameters})
        command(**given)

    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
