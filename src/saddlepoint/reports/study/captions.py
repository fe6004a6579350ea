"""The captions of the figures of a study, in the numbering of the nine-defences report."""

from __future__ import annotations

from saddlepoint.reports.study.cells import example_cell, in_levels
from saddlepoint.reports.study.comparisons import conclusive_variants
from saddlepoint.reports.study.pictures import shown_variants
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.studies.results import StudyResults
from saddlepoint.threat import format_eps

# Of figures that do not depend on the results.
NETWORK = (
    "The network: convolutional blocks (convolution, batch normalisation, ReLU, average "
    "pooling), then fully connected layers."
)
QUANTISATION = (
    "Two ways of quantising a network. Left: integers throughout, for inference only. Right: "
    "simulated quantisation, which training can see; this is the one used here."
)
KERNEL_MATRIX = (
    "The simple matrix of a convolution: the kernel with its last three axes flattened. Left: "
    "kernels of the first layer of the reference; right: the matrix."
)
OPERATOR = (
    "The true matrix of a convolution, read from the operator itself. Left: a 3×3 kernel, the "
    "centre of the first one of the first layer; right: the sparse matrix that convolving a 5×5 "
    "image with it multiplies by."
)
SELF_ENSEMBLE = (
    "Random self-ensemble. Left: convolutional blocks of the original. Right: with noise before "
    "each of them, in training and at inference."
)
BOUNDARY = (
    "Decision boundaries of a small network on a two-class problem in the plane. Above: normal "
    "training; below: adversarial training. Left: test points; right: the same after the attack."
    " Trained for this figure, not drawn by hand."
)
ACTIVATIONS = (
    "The quantised activation functions after fitting ReLU, over the distribution of the data "
    "they were fitted on."
)
TIMES = (
    "Time of one forward and backward pass of each activation function against the number of "
    "values, on the machine that wrote this report."
)


def losses_caption(results: StudyResults) -> str:
    """Return the caption of figure 7.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> losses_caption(toy_results())[:42]
    'Training loss of the variants (penalties i'
    """
    averaged = (
        " Dashed: variants with adversarial training, whose loss is that of the adversarial "
        "images; what was trained once per eps is averaged over eps."
        if adversarial_variants(results)
        else ""
    )
    return (
        "Training loss of the variants (penalties included) against epochs; right: the first "
        f"part, enlarged. Lines: mean over {_seeds(results)}; bands: ± one standard deviation."
        + averaged
    )


def bars_caption(results: StudyResults) -> str:
    """Return the caption of figure 8.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> "before" in bars_caption(toy_results())
    True
    """
    attack = results.attacks[0]
    unmarked = (
        ""
        if all(conclusive_variants(results).values())
        else f" No marks where the accuracy before the attack is below "
        f"{results.minimum_clean_accuracy:.0%}."
    )
    return (
        f"Accuracy before (blue) and after (orange) the attack {attack}, and the share of the "
        f"correctly classified images that it flips (green). Means over {_seeds(results)} and "
        f"{len(results.budgets)} values of eps; error bars: standard deviation over the seeds. "
        f"Better than '{results.reference}' (higher accuracy, lower success) by the "
        "nine-defences report's one-sided paired t-test over seeds and eps: *** p < 0.01, "
        "** p < 0.05, * p < 0.1; † p < 0.05 in the test on per-seed means after Holm's correction."
        + unmarked
    )


def success_caption(results: StudyResults) -> str:
    """Return the caption of figure 9.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> "standard deviation" in success_caption(toy_results())
    True
    """
    unit = ", in 255ths" if in_levels(results) else ""
    dashed = " Dashed: variants with adversarial training." if adversarial_variants(results) else ""
    return (
        f"Success rate of the attack against eps ({results.threat}{unit}). Lines: mean over "
        f"{_seeds(results)}; error bars: ± one true standard deviation (not its logarithm). The "
        f"points of one eps stand side by side only to be told apart.{dashed}"
    )


def pictures_caption(results: StudyResults) -> str:
    """Return the caption of figure 2.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> pictures_caption(toy_results())[:40]
    'Images before the attack, the magnified '
    """
    seed, eps, attack = example_cell(results, results.reference)
    names = " and ".join(f"'{name}'" for name in shown_variants(results))
    return (
        f"Images before the attack, the magnified change around grey, and after the attack "
        f"{attack} at eps {format_eps(eps)} ({results.threat}), with the classes predicted by "
        f"{names}, seed {seed}; wrong classes in bold red."
    )


def features_caption(results: StudyResults, variant: str) -> str:
    """Return the caption of the feature maps of one variant.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> features_caption(toy_results(), "adversarial")[:30]
    "Feature maps of 'adversarial',"
    """
    seed, eps, attack = example_cell(results, variant)
    return (
        f"Feature maps of '{variant}', seed {seed}: the first channels that each convolutional "
        f"block puts out for one image (upper rows) and the same image after the attack {attack} "
        f"at eps {format_eps(eps)} (lower rows). One scale for all maps."
    )


def _seeds(results: StudyResults) -> str:
    count = len(results.seeds)
    return f"{count} seed{'s' if count != 1 else ''}"
