"""The oracle of linear networks: closed forms, whatever the number of features.

A change towards class j needs Σ a_i·u_i ≥ need with a = W_j − W_y and need = Z_y − Z_j. Every
feature helps in one direction only, sign(a_i), and has room for `room_i` in the box.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_halfspace(a: np.ndarray, need: float, x: np.ndarray, norm: str) -> float:
    """Return the least norm of u with a·u ≥ need and 0 ≤ x + u ≤ 1; infinity where there is none."""
    size, room = np.abs(a), np.where(a > 0, 1 - x, x)
    if need <= 0:
        return 0.0
    if size @ room < need:
        return float("inf")
    if norm in ("L0", "L1"):
        # L0: the features that can give most, wholly. L1: those that give most per unit of change.
        order = np.argsort(-(size * room if norm == "L0" else size))
        gains = np.cumsum((size * room)[order])
        last = int(np.searchsorted(gains, need * (1 - 1e-12)))
        if norm == "L0":
            return last + 1.0
        before = gains[last - 1] if last else 0.0
        return float(room[order[:last]].sum() + (need - before) / size[order[last]])
    # u_i = min(t·v_i, room_i): all features alike in Linf, in proportion to |a| in L2. They reach
    # their bounds one after the other as t grows, and between two knots the gain is linear in t.
    v = np.ones_like(size) if norm == "Linf" else size
    helps = np.flatnonzero(size > 0)
    full = room[helps] / v[helps]
    order = helps[np.argsort(full)]
    gains = [float(size @ np.minimum(t * v, room)) for t in np.sort(full)]
    k = min(int(np.searchsorted(gains, need)), len(order) - 1)
    # By rank, since a comparison of products would leave a full feature among the free ones.
    free = np.isin(np.arange(len(size)), order[k:])
    t = (need - size[~free] @ room[~free]) / (size[free] @ v[free])
    u = np.where(size > 0, np.minimum(t * v, room), 0.0)
    return float(u.max() if norm == "Linf" else np.linalg.norm(u))


def least_distance(W: Tensor, b: Tensor, image: Tensor, label: int, norm: str) -> float:
    """Return the distance of the nearest image that another class than `label` wins."""
    W, b, x = W.double().numpy(), b.double().numpy(), image.double().numpy()
    Z = W @ x + b
    others = [j for j in range(len(W)) if j != label]
    return min(to_halfspace(W[j] - W[label], Z[label] - Z[j], x, norm) for j in others)
