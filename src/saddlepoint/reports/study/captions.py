"""The captions of the figures of a study."""

from __future__ import annotations

from saddlepoint.reports.study.cells import budget_text, counted, example_cell, in_levels
from saddlepoint.reports.study.comparisons import conclusive_variants
from saddlepoint.reports.study.pictures import shown_variants
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.study.tables_text import STARS, star_notes
from saddlepoint.studies.results import StudyResults

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
    """Return the caption of the training losses.

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


def time_caption(results: StudyResults) -> str:
    """Return the caption of accuracy against time.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> time_caption(toy_results())[:43]
    'Accuracy under PGD of validation images aga'
    """
    return (
        "Accuracy under PGD of validation images against the time of the training steps so far, a"
        f" point per epoch. Lines: mean over {_seeds(results)}; bands: ± one standard deviation."
        " Looking at validation images is not counted."
    )


def axis_caption(results: StudyResults) -> str:
    """Return the caption of accuracy against the study's axis.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> axis_caption(toy_results(config={"axis": {"label": "layers"}}))[:23]
    'Accuracy against layers'
    """
    label = results.config["axis"]["label"]
    return (
        f"Accuracy against {label}, without an attack and under {results.attacks[0]}"
        f" ({results.threat}). Lines: mean over {_seeds(results)}; error bars: ± one standard"
        " deviation over them."
    )


def errors_caption(results: StudyResults) -> str:
    """Return the caption of the errors by epoch.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> errors_caption(toy_results())[:28]
    'Share of wrong images by epo'
    """
    return (
        "Share of wrong images by epoch. Dashed: of the images trained on, augmented (or attacked) as"
        " they were trained on, during the epoch; solid: of images held out, after it. Lines: mean"
        f" over {_seeds(results)}; bands: ± one standard deviation."
    )


def accuracy_caption(results: StudyResults) -> str:
    """Return the caption of the figure that leads.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> accuracy_caption(toy_results())[:34]
    'Accuracy against eps (Linf, pixels'
    """
    trained = (
        " Dashed: variants with adversarial training; one that was trained once per eps is at each"
        " eps the network of that eps, and at 0 the mean of them."
        if adversarial_variants(results)
        else ""
    )
    return (
        f"Accuracy against eps ({_threat(results)}): the share of all images that are classified"
        f" correctly under the attack, and at eps 0 without one. {_lines(results)}{trained}"
    )


def bars_caption(results: StudyResults) -> str:
    """Return the caption of the bars.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> "before" in bars_caption(toy_results())
    True
    """
    enough = conclusive_variants(results)
    least = f"{results.minimum_clean_accuracy:.0%}"
    notes = star_notes(results, results.attacks[0])
    if not all(enough.values()):
        notes.append(f"No stars where the accuracy before the attack is below {least}.")
    return " ".join([_bars(results), *notes])


def nine_defences_caption(results: StudyResults) -> str:
    """Return the caption of the bars with the nine-defences report's own stars.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> "not independent" in nine_defences_caption(toy_results())
    True
    """
    repeats = len(results.seeds) * len(results.budgets)
    return (
        f"{_bars(results)} Stars as the nine-defences report prints them, by its own test: one-sided"
        f" paired t-test against '{results.reference}' over every seed and eps, n = {repeats} when"
        f" all are finished: {STARS}. The repeats of one seed are not independent, so that these"
        " stars come too easily; go by those of the figure of accuracy before and after."
    )


def success_caption(results: StudyResults) -> str:
    """Return the caption of success against eps.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> "standard deviation" in success_caption(toy_results())
    True
    """
    dashed = " Dashed: variants with adversarial training." if adversarial_variants(results) else ""
    return (
        f"Success rate of the attack against eps ({_threat(results)}): the share of the correctly"
        f" classified images that it flips. {_lines(results)}{dashed}"
    )


def pictures_caption(results: StudyResults) -> str:
    """Return the caption of the images.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> pictures_caption(toy_results())[:40]
    'Images before the attack, the change (gr'
    """
    seed, eps, attack = example_cell(results, results.reference)
    names = " and ".join(f"'{name}'" for name in shown_variants(results))
    return (
        "Images before the attack, the change (grey: none; black and white: the largest of the"
        f" figure, as the bar says; nothing is cut off), and after the attack {attack} at eps"
        f" {budget_text(results, eps)} ({results.threat}), with the classes predicted by "
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
        f"at eps {budget_text(results, eps)} (lower rows). One scale for all maps."
    )


def _bars(results: StudyResults) -> str:
    several = len(results.budgets) > 1
    one = f"at eps {budget_text(results, results.budgets[0])}"
    budgets = f"and {len(results.budgets)} values of eps" if several else one
    return (
        f"Accuracy before (blue) and after (orange) the attack {results.attacks[0]}, and the share"
        f" of the correctly classified images that it flips (green). Means over {_seeds(results)}"
        f" {budgets}; error bars: standard deviation over the seeds."
    )


def _lines(results: StudyResults) -> str:
    return (
        f"Lines: mean over {_seeds(results)}; error bars: ± one standard deviation over them. The"
        " points of one eps stand side by side only to be told apart."
    )


def _threat(results: StudyResults) -> str:
    return f"{results.threat}{', in 255ths' if in_levels(results) else ''}"


def _seeds(results: StudyResults) -> str:
    return counted(len(results.seeds), "seed")
