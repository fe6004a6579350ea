"""What is kept of unfinished work, in files."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from saddlepoint.attacks import FAB, Stages
from saddlepoint.evaluation.journal import Journal
from saddlepoint.threat import L2


def test_stages_of_the_same_samples_are_written_together(tmp_path):
    """Two targets of FAB have the same rows; a file cannot hold one tensor twice."""
    torch.manual_seed(0)
    net, images = nn.Linear(4, 5), torch.full((3, 4), 0.5)
    labels = net(images).argmax(1).detach()
    ticks = itertools.count(step=0.5)
    journal = Journal(tmp_path, clock=lambda: float(next(ticks)))
    FAB(L2(), steps=2, targets=4)(net, images, labels, stages=Stages(journal, "fab"))
    journal.save()
    assert len(Journal(tmp_path).found) >= 1
