"""The parts that every page shares: its look, drawings that follow it, tables, galleries."""

from __future__ import annotations
