"""Evaluation: an honest measurement of the value of the game, with its uncertainty."""

from __future__ import annotations

from saddlepoint.evaluation.attack_record import AttackRecord
from saddlepoint.evaluation.attack_run import ATTACK_FILES, run_attack
from saddlepoint.evaluation.autoattack import AutoAttack
from saddlepoint.evaluation.bootstrap import Interval, bootstrap_interval
from saddlepoint.evaluation.breakdown import AttackShare, Budget, ClassShare
from saddlepoint.evaluation.cochran import Cochran, cochran_test
from saddlepoint.evaluation.comparison import PairedTest, holm, paired_t_test, stars
from saddlepoint.evaluation.curve import Curve
from saddlepoint.evaluation.evaluate import EVALUATION_FILES, evaluate
from saddlepoint.evaluation.export import Export, Replay, export_png, to_eight_bits
from saddlepoint.evaluation.masks import read_mask
from saddlepoint.evaluation.mcnemar import McNemar, mcnemar_test
from saddlepoint.evaluation.optimality import local_optimality, smallest_distances
from saddlepoint.evaluation.outputs import check_outputs
from saddlepoint.evaluation.power import images_to_tell, power_of_mcnemar
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.rejudge import Audit, rejudge
from saddlepoint.evaluation.saved_images import read_saved
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.suites import SUITES, Suite, build_suite
from saddlepoint.evaluation.torchattacks import TorchattacksStyle

__all__ = [
    "ATTACK_FILES",
    "EVALUATION_FILES",
    "SUITES",
    "AttackRecord",
    "AttackShare",
    "Audit",
    "AutoAttack",
    "Budget",
    "ClassShare",
    "Cochran",
    "Curve",
    "Evaluation",
    "Export",
    "Interval",
    "McNemar",
    "PairedTest",
    "Proportion",
    "Replay",
    "Suite",
    "TorchattacksStyle",
    "bootstrap_interval",
    "build_suite",
    "check_outputs",
    "cochran_test",
    "evaluate",
    "export_png",
    "holm",
    "images_to_tell",
    "local_optimality",
    "mcnemar_test",
    "paired_t_test",
    "power_of_mcnemar",
    "read_mask",
    "read_saved",
    "rejudge",
    "run_attack",
    "smallest_distances",
    "stars",
    "to_eight_bits",
]
