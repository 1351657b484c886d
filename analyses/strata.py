"""Facts that are reported apart: those that the training data held, and the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from interp.characters import visible
from interp.data.facts import FactSet
from interp.errors import DataError

__all__ = ["strata_of"]


def strata_of(facts: FactSet, contaminated: Path | None) -> dict[str, Bool[np.ndarray, " fact"]]:
    """Masks of the facts that are reported apart; none without a file.

    Args:
        facts: What is asked.
        contaminated: A JSON list of fact ids, or PolyFact's list of KLAR's contaminated [relation, index].

    Raises:
        DataError: The file is no such list, or names none of these facts.
    """
    if contaminated is None:
        return {}
    listed = _fact_ids(contaminated)
    mask = np.array([fact.fact_id in listed for fact in facts])
    if not mask.any():
        raise DataError(
            f"{contaminated} names {len(listed)} facts, but none of the {len(facts)} that are asked, such as "
            f"'{visible(facts.facts[0].fact_id)}'."
        )
    return {"contaminated": mask, "not contaminated": ~mask}


def _fact_ids(file: Path) -> set[str]:
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is not readable JSON ({error}).") from None
    if isinstance(listed, dict) and isinstance(listed.get("contaminated_keys"), list):
        listed = [f"{relation}/{index}" for relation, index in listed["contaminated_keys"]]
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise DataError(f'{file} is expected to be a JSON list of fact ids, or to have "contaminated_keys".')
    return set(listed)
