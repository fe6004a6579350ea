"""Orthogonal regularisation: how far the columns or the rows of every weight are from orthonormal."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.configuration import identified
from saddlepoint.defences.linear_operator import MatrixOperator, Operator
from saddlepoint.defences.power_iteration import Start, normalised
from saddlepoint.defences.warm_start import WarmStarted
from saddlepoint.defences.weights import weighted_layers
from saddlepoint.option_values import check_value


@identified("saddlepoint.defences.orthogonal.Orthogonal")
class Orthogonal(WarmStarted):
    """The sum over all convolutions and linear layers of one of four norms (eq. 3 of the
    nine-defences report).

    | form | the norm of | is zero where |
    |---|---|---|
    | 1 | WᵀW − I | the columns are orthonormal |
    | 2 | WWᵀ − I | the rows are orthonormal |
    | 3 | WᵀW ∘ (1 − I) | the columns are orthogonal, also at W = 0 |
    | 4 | WᵀW/‖WᵀW‖₂ − I | the columns are orthonormal up to a common scale |

    W is the weight as it acts, through any parametrisation, as a matrix [C_out, C_in·K·K], one per
    group of a convolution. It is the norm that is summed, as printed, and not its square: its pull
    does not fade near the minimum. Where it is zero its gradient is taken as zero. A wide W [m, n]
    cannot have orthonormal columns: the least Frobenius norm of forms 1 and 4 is then √(n − m), at
    orthonormal rows (up to scale), and that of form 2 for a tall one √(m − n).

    Nothing is decomposed: the Gram matrix is the smaller of WᵀW and WWᵀ, and spectral norms come
    from power iteration with warm starts. After Bansal, Chen and Wang 2018, arXiv:1810.09102.

    Args:
        form: 1 to 4.
        norm: the outer norm, "fro" (Frobenius) or "spectral". The inner one of form 4 is always
            spectral. Mind that for a wide W the spectral norm of form 4 is 1 whatever W is, and that
            of form 1 at least 1, without a slope while no singular value exceeds √2; so is that of
            form 2 for a tall one.
        iterations: of power iteration at every step.
        start: of its vectors: "random", or "ones", which can miss the top of the spectrum.
        vectors: of the basis in which an iteration looks for the inner norm of form 4: by default
            4 (see `krylov.follow`), or 1, which is power iteration, from ones.

    The first call does `begin(model)` where that was not done. Raises `InputError` for an unknown
    option.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.diag(torch.tensor([2.0, 1.0])))
    >>> [round(Orthogonal(form)(net).item(), 3) for form in (1, 2, 3, 4)]
    [3.0, 3.0, 0.0, 0.75]
    """

    _apart = True
    _operators: dict[str, MatrixOperator]  # type: ignore[assignment]

    def __init__(
        self,
        form: Literal[1, 2, 3, 4] = 4,
        norm: Literal["fro", "spectral"] = "fro",
        iterations: int = 1,
        start: Start = "random",
        vectors: int | None = None,
    ) -> None:
        super().__init__(iterations, start, vectors)
        check_value("form", form, Literal[1, 2, 3, 4])
        check_value("norm", norm, Literal["fro", "spectral"])
        self.form = form
        self.norm = norm

    def _find(self, model: nn.Module, images: Tensor | None) -> dict[str, Operator]:
        return {name: MatrixOperator.of(layer) for name, layer in weighted_layers(model).items()}

    def _vectors(self, operator: Operator) -> dict[str, tuple[int, ...]]:
        columns, rows = operator.input_shape, operator.output_shape
        needed = {"u": rows, "v": columns} if self.form == 4 else {}
        if self.norm == "spectral":
            needed["x"] = rows if self.form == 2 else columns
        return needed

    def _advance(self, name: str, weight: Tensor, iterations: int) -> None:
        if self.form == 4:
            self._advance_top(name, weight, iterations)
        if self.norm == "spectral":
            W, x = self._scaled(name, weight), self._get("x", name, weight)
            for _ in range(iterations):
                x = normalised(defect(W, self.form, x), x, dim=-1)
            self._set("x", name, x)

    def _scaled(self, name: str, weight: Tensor) -> Float[Tensor, "g m n"]:
        """Return the matrices, those of form 4 divided by their largest singular value.

        With W/σ form 4 is form 1, since ‖WᵀW‖₂ = σ².
        """
        W: Tensor = self._operators[name].matrices(weight)
        if self.form != 4:
            return W
        u, v = self._get("u", name, weight), self._get("v", name, weight)
        sigma = (u.unsqueeze(1) @ W @ v.unsqueeze(2)).abs()
        scaled: Tensor = W / torch.where(sigma > 0, sigma, 1)
        return scaled

    def _term(self, name: str, weight: Tensor) -> Tensor:
        W: Tensor = self._scaled(name, weight)
        if self.norm == "fro":
            return frobenius(W, self.form).sum()
        x = self._get("x", name, weight)
        norms: Tensor = torch.linalg.vector_norm(defect(W, self.form, x), dim=-1)
        return norms.sum()


def frobenius(W: Float[Tensor, "*g m n"], form: int) -> Float[Tensor, " *g"]:
    """Return the Frobenius norm of a form of eq. 3, by the smaller Gram matrix.

    The singular values are the same for both, and those that are missing from the smaller one are
    zero: ‖WᵀW − I_n‖² = ‖WWᵀ − I_m‖² + n − m. Form 3 leaves the diagonal out of the sum of squares:
    ‖WᵀW ∘ (1 − I)‖² = ‖WᵀW‖² − Σ_j ‖w_j‖⁴, and ‖WᵀW‖ = ‖WWᵀ‖. Form 4 is form 1 of W/σ.

    >>> W = torch.eye(2, 5)
    >>> [round(float(frobenius(W, form)), 3) for form in (1, 2, 3)]
    [1.732, 0.0, 0.0]
    """
    m, n = W.shape[-2:]
    gram: Tensor = _Gram.apply(W if m < n else W.mT)
    if form == 3:
        if n <= m:
            diagonal = torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
            return _norm(gram - diagonal)
        columns = W.square().sum(-2)
        square = gram.square().sum((-2, -1)) - columns.square().sum(-1)
        positive = square > 0  # rounding may take it below zero, and a root has no slope there
        return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
    off = gram - torch.eye(min(m, n), dtype=W.dtype, device=W.device)
    missing = m - n if form == 2 else n - m
    if missing <= 0:
        return _norm(off)
    return (off.square().sum((-2, -1)) + missing).sqrt()


def defect(
    W: Float[Tensor, "*g m n"], form: int, x: Float[Tensor, "*g k"]
) -> Float[Tensor, "*g k"]:
    """Return the matrix of a form of eq. 3 times x, without forming it; form 4 as form 1 of W/σ.

    >>> defect(torch.diag(torch.tensor([2.0, 1.0])), 1, torch.ones(2))
    tensor([3., 0.])
    """
    column = x.unsqueeze(-1)
    if form == 2:
        return (W @ (W.mT @ column) - column).squeeze(-1)
    diagonal = W.square().sum(-2).unsqueeze(-1) if form == 3 else 1
    return (W.mT @ (W @ column) - diagonal * column).squeeze(-1)


class _Gram(torch.autograd.Function):
    """X Xᵀ, with one product in the backward pass, where autograd would take two."""

    @staticmethod
    def forward(ctx: Any, X: Tensor) -> Tensor:
        ctx.save_for_backward(X)
        gram: Tensor = X @ X.mT
        return gram

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (X,) = ctx.saved_tensors
        grad: Tensor = (slope + slope.mT) @ X
        return grad


def _norm(matrix: Tensor) -> Tensor:
    value: Tensor = torch.linalg.matrix_norm(matrix)  # whose slope at zero torch takes as zero
    return value
