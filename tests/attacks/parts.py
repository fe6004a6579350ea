"""An attack run on the parts of a batch, to be compared with the whole."""

from __future__ import annotations

import torch

from saddlepoint.attacks import AttackResult

N = 64
ORDER = torch.randperm(N, generator=torch.Generator().manual_seed(5))


def in_parts(attack, net, images, labels, rows, size) -> AttackResult:
    parts = [attack(net, images[part], labels[part], ids=part, seed=3) for part in rows.split(size)]
    joined = AttackResult.cat(parts)
    back = rows.argsort()
    fields = {
        name: getattr(joined, name)[back] for name in joined.__dataclass_fields__ if name != "space"
    }
    return AttackResult(**fields, space=joined.space)
