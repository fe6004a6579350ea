"""Evaluation: an honest measurement of the value of the game, with its uncertainty."""

from __future__ import annotations

from saddlepoint.evaluation.attack_record import AttackRecord
from saddlepoint.evaluation.attack_run import ATTACK_FILES, run_attack
from saddlepoint.evaluation.autoattack import AutoAttack
from saddlepoint.evaluation.beside import Beside, Ours, beside
from saddlepoint.evaluation.bootstrap import Interval, bootstrap_interval
from saddlepoint.evaluation.breakdown import AttackShare, Budget, ClassShare
from saddlepoint.evaluation.cochran import Cochran, cochran_test
from saddlepoint.evaluation.compare import compare
from saddlepoint.evaluation.comparison import PairedTest, holm, paired_t_test, stars
from saddlepoint.evaluation.confidence_sequence import Bounds, ConfidenceSequence
from saddlepoint.evaluation.corruption_accuracy import CORRUPTION_FILES, corruption_accuracy
from saddlepoint.evaluation.corruption_record import CorruptedShare, CorruptionAccuracy
from saddlepoint.evaluation.curve import Curve
from saddlepoint.evaluation.decision import Decision
from saddlepoint.evaluation.evaluate import EVALUATION_FILES, evaluate
from saddlepoint.evaluation.export import Export, Replay, export_png, to_eight_bits
from saddlepoint.evaluation.gradient_agreement import GradientAgreement, gradient_agreement
from saddlepoint.evaluation.left import Left
from saddlepoint.evaluation.limits import Limits, parse_seconds
from saddlepoint.evaluation.masks import read_mask
from saddlepoint.evaluation.mcnemar import McNemar, mcnemar_test
from saddlepoint.evaluation.mean_share import MeanShare, mean_share
from saddlepoint.evaluation.model_comparison import (
    BudgetComparison,
    ModelComparison,
    PairComparison,
)
from saddlepoint.evaluation.optimality import local_optimality, smallest_distances
from saddlepoint.evaluation.outputs import check_outputs
from saddlepoint.evaluation.power import images_to_tell, power_of_mcnemar
from saddlepoint.evaluation.randomised import Randomised, randomised
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.rejudge import Audit, rejudge
from saddlepoint.evaluation.resubmitted import Resubmitted
from saddlepoint.evaluation.saved_images import read_saved
from saddlepoint.evaluation.second_look import SecondLook, second_look
from saddlepoint.evaluation.statistics import Proportion, at_most
from saddlepoint.evaluation.suites import SUITES, Suite, build_suite
from saddlepoint.evaluation.torchattacks import TorchattacksStyle
from saddlepoint.evaluation.until import Answer, Until, decide, parse_until
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.evaluation.verdict.finding import Finding, Verdict
from saddlepoint.evaluation.warm_start import WarmStart, read_warm_start
from saddlepoint.evaluation.worst import WorstImages, read_worst

__all__ = [
    "ATTACK_FILES",
    "CORRUPTION_FILES",
    "EVALUATION_FILES",
    "SUITES",
    "Answer",
    "AttackRecord",
    "AttackShare",
    "Audit",
    "AutoAttack",
    "Beside",
    "Bounds",
    "Budget",
    "BudgetComparison",
    "ClassShare",
    "Cochran",
    "ConfidenceSequence",
    "CorruptedShare",
    "CorruptionAccuracy",
    "Curve",
    "Decision",
    "Diagnosis",
    "Evaluation",
    "Export",
    "Finding",
    "GradientAgreement",
    "Interval",
    "Left",
    "Limits",
    "McNemar",
    "MeanShare",
    "ModelComparison",
    "Ours",
    "PairComparison",
    "PairedTest",
    "Proportion",
    "Randomised",
    "Replay",
    "Resubmitted",
    "SecondLook",
    "Suite",
    "TorchattacksStyle",
    "Until",
    "Verdict",
    "WarmStart",
    "WorstImages",
    "at_most",
    "beside",
    "bootstrap_interval",
    "build_suite",
    "check_outputs",
    "cochran_test",
    "compare",
    "corruption_accuracy",
    "decide",
    "evaluate",
    "export_png",
    "gradient_agreement",
    "holm",
    "images_to_tell",
    "local_optimality",
    "mcnemar_test",
    "mean_share",
    "paired_t_test",
    "parse_seconds",
    "parse_until",
    "power_of_mcnemar",
    "randomised",
    "read_mask",
    "read_saved",
    "read_warm_start",
    "read_worst",
    "rejudge",
    "run_attack",
    "second_look",
    "smallest_distances",
    "stars",
    "to_eight_bits",
]
