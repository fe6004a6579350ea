"""Does a search without gradients fool what the attacks do not?

Square asks the model for logits alone. On an honest model it adds an image in a thousand to what
attacks with gradients found; where it adds more the gradient is masked. It costs hundreds of passes, so
that it is run only where another check found something, or on request.
"""

from __future__ import annotations

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.forms import has_form
from saddlepoint.attacks.fixed_budget.sparse_rs import SparseRS
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.threat import ThreatModel, norm_of

_QUERIES = 500


class BlackBox(Control):
    """The survivors that Square fools, in L0 Sparse-RS.

    >>> from saddlepoint.threat import Linf
    >>> BlackBox().attack(Linf(0.1)).queries
    500
    """

    name = "black-box"
    means = (
        "A search without gradients fools images that attacks with gradients did not: it is masked."
    )
    remedy = "Use standard with all queries of Square, and an adaptive attack; --adaptive does."
    reference = "Andriushchenko et al. 2020, arXiv:1912.00049; the flags of AutoAttack's code"
    thorough = True
    most = 32

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the search; of patches and of tokens there is none but draws, which `noise` makes."""
        if norm_of(threat) == "L0":
            return SparseRS(threat, queries=_QUERIES)
        return Square(threat, queries=_QUERIES) if has_form(Square, threat) else None
