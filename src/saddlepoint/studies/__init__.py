"""Studies: declarative, resumable comparisons of many trainings and evaluations."""

from __future__ import annotations

from saddlepoint.studies.build import DataFacts, on_device
from saddlepoint.studies.engine import Engine, LocalEngine
from saddlepoint.studies.estimate import Estimate, estimate_study
from saddlepoint.studies.grid import Cell, Grid, Place, build_grid
from saddlepoint.studies.job import Job, Outcome
from saddlepoint.studies.load import load, load_results
from saddlepoint.studies.results import StudyResults
from saddlepoint.studies.runner import StudyProgress, run_study
from saddlepoint.studies.spec import DataSpec, StudySpec, ThreatSpec
from saddlepoint.studies.status import StudyStatus, load_status
from saddlepoint.studies.store import Store
from saddlepoint.studies.validate import load_study, parse_study

__all__ = [
    "Cell",
    "DataFacts",
    "DataSpec",
    "Engine",
    "Estimate",
    "Grid",
    "Job",
    "LocalEngine",
    "Outcome",
    "Place",
    "Store",
    "StudyProgress",
    "StudyResults",
    "StudySpec",
    "StudyStatus",
    "ThreatSpec",
    "build_grid",
    "estimate_study",
    "load",
    "load_results",
    "load_status",
    "load_study",
    "on_device",
    "parse_study",
    "run_study",
]
