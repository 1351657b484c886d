"""A study: checkpoints x seeds x measures, run cell by cell, resumed, and told in claims."""

from analyses.study.cells import StudyCell, plan_study
from analyses.study.claims import claims_of
from analyses.study.effects import study_effects
from analyses.study.file import Study, read_study
from analyses.study.running import run_study

__all__ = [
    "Study",
    "StudyCell",
    "claims_of",
    "plan_study",
    "read_study",
    "run_study",
    "study_effects",
]
