"""Figures of the attack lab: one file per experiment, named as it is, with a function `draw`."""

from __future__ import annotations

from saddlepoint.reports.lab.write import Written, draw, write_experiment

__all__ = ["Written", "draw", "write_experiment"]
