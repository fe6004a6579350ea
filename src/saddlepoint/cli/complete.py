"""What the shell completes: names that stand here too, so that torch need not be imported; a test
compares them with the registries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ATTACKS = (
    "advgan",
    "alma",
    "apgd",
    "bim",
    "brendel-bethge",
    "cw-l0",
    "cw-l2",
    "cw-linf",
    "ddn",
    "deepfool",
    "ead",
    "fab",
    "fgsm",
    "fmn",
    "hard",
    "hop-skip-jump",
    "jsma",
    "l-bfgs",
    "latent",
    "manifold",
    "md",
    "mi-fgsm",
    "nine-defences-pgd",
    "patch",
    "pdgd",
    "pdpgd",
    "pgd",
    "portfolio",
    "sigma-zero",
    "sparse-rs",
    "square",
    "uniform-noise",
)
CONSTANTS = ("auto", "cifar-10-c", "imagenet-c")
CORRUPTIONS = (
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "defocus-blur",
    "glass-blur",
    "motion-blur",
    "zoom-blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic-transform",
    "pixelate",
    "jpeg-compression",
)
DATA = (
    "cifar10",
    "cifar10-jpeg",
    "cifar100",
    "digits",
    "fashion-mnist",
    "mnist",
    "rules:addition",
    "rules:copy",
    "rules:dates",
    "rules:number-words",
    "rules:places",
    "rules:repeats",
    "rules:reverse",
    "rules:sentiment",
    "rules:sort",
    "text/reviews",
    "text/sentences",
    "text/verses-en-es",
)
MODELS = (
    "zoo:carlini-cifar",
    "zoo:carlini-mnist",
    "zoo:constant-perturber",
    "zoo:gan-dcgan",
    "zoo:gan-mlp",
    "zoo:madry-cnn",
    "zoo:maxout",
    "zoo:perturber",
    "zoo:plain20",
    "zoo:plain32",
    "zoo:plain44",
    "zoo:plain56",
    "zoo:preactresnet18",
    "zoo:resnet101",
    "zoo:resnet110",
    "zoo:resnet152",
    "zoo:resnet164",
    "zoo:resnet18",
    "zoo:resnet20",
    "zoo:resnet32",
    "zoo:resnet34",
    "zoo:resnet44",
    "zoo:resnet50",
    "zoo:resnet56",
    "zoo:simple-cnn",
    "zoo:swin-b",
    "zoo:swin-micro",
    "zoo:swin-s",
    "zoo:swin-t",
    "zoo:vit-b16",
    "zoo:vit-b32",
    "zoo:vit-h14",
    "zoo:vit-l16",
    "zoo:vit-micro",
    "zoo:vit-s16",
    "zoo:vit-ti16",
    "zoo:wrn34-10",
    "transformer-base",
    "transformer-big",
    "transformer-micro",
    "bert-base",
    "bert-large",
    "bert-micro",
    "timm:",
    "torchvision:",
    "hf:",
)
SUITES = ("fast", "quick", "standard", "thorough", "minimum-norm", "rand")
NORMS = ("linf", "l2", "l1", "l0", "patches:", "l2-token", "l2-root")
PREPROCESSING = ("auto", "own", "none")
SPACES = ("pixels", "normalised", "embedding")
SPLITS = ("test", "train", "all")
MASKINGS = ("random", "block", "grid")
EXPERIMENTS = (
    "accuracy-against-eps",
    "adversarial-logistic",
    "advgan",
    "alignment",
    "architectures",
    "attention-cost",
    "attention-scale",
    "attention-under-attack",
    "bert-labels",
    "capacity",
    "constant-c",
    "controls",
    "distillation",
    "distillation-jsma",
    "distillation-transfer",
    "embedding-robustness",
    "few-shot",
    "fgsm-ray",
    "gan-game",
    "gan-toy",
    "l2-overestimate",
    "landscape",
    "linear-example",
    "lowest-bit",
    "norms-on-lengths",
    "mae-decoder",
    "mae-interpolation",
    "mae-labels",
    "mae-robust",
    "objectives",
    "purify",
    "regularisation",
    "residual",
    "segments",
    "synthetic-digits",
    "text-ablations",
    "text-data-size",
    "text-rules",
    "text-verses",
    "transfer-confidence",
    "transfer-table",
)
WRAPPERS = (
    "bpda=",
    "straight-through",
    "smoothed",
    "skip-gradient=",
    "transfer=",
    "restarted=",
    "smallest",
    "shrinking",
    "eight-bit",
)


def of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return what completes a word to the names that begin so.

    >>> of(NORMS)("l")
    ['linf', 'l2', 'l1', 'l0', 'l2-token', 'l2-root']
    """

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def corruption(incomplete: str) -> list[str]:
    """Return the corruptions that begin so; of a whole name with a colon, its severities.

    >>> corruption("fo"), corruption("fog:")[-1]
    (['fog:'], 'fog:5')
    """
    name, colon, _ = incomplete.partition(":")
    if not colon:
        return [f"{each}:" for each in of(CORRUPTIONS)(name)]
    whole = tuple(f"{name}:{severity}" for severity in range(1, 6)) if name in CORRUPTIONS else ()
    return of(whole)(incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the shipped recipes that begin so.

    >>> recipes("nine")
    ['nine-defences', 'nine-defences-adversarial']
    """
    folder = Path(__file__).parents[1] / "defences" / "recipes"
    return of(tuple(sorted(file.stem for file in folder.glob("*.yaml"))))(incomplete)
