"""Published answers read through our own result types give the published numbers, and ours where those are wrong."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from analyses.asked import strata_of
from analyses.behavior import clustered
from analyses.changes import compare_facts
from interp.data.sources import open_facts
from interp.measure.behavior.generation import judge_texts
from interp.results.base import Provenance
from interp.results.behavior import BehaviorResult
from interp.results.consistency import truncated
from interp.stats import paired_bootstrap
from tests.truth.test_published import VERIFY

pytestmark = pytest.mark.skipif(not VERIFY.is_dir(), reason=f"published outputs are not at {VERIFY}")

BASE, SFT = "OLMo-2-1124-7B", "olmo-2-7b-wikifact-sft"
EXACT = {"rel": 0, "abs": 1e-9}


@cache
def lite(name: str) -> dict:
    return json.loads((VERIFY / "global_mmlu_lite" / f"{name}.json").read_text())


def right(name: str) -> np.ndarray:
    """What the published evaluation counts as right, [fact, language]."""
    data = lite(name)
    languages = data["per_language_accuracy"]
    return np.array(
        [[fact[code]["correct"] for code in languages] for _, fact in sorted(data["predictions"].items())]
    )


def read(name: str) -> BehaviorResult:
    """A published file as a result: its scores are means over tokens, so one token each gives them back."""
    data = lite(name)
    languages, facts = tuple(data["per_language_accuracy"]), sorted(data["predictions"].items())
    scores = np.array([[fact[code]["scores"] for code in languages] for _, fact in facts], dtype=float)
    told = gold_of_others()
    ones = np.ones(scores.shape, dtype=np.int64)
    ids = tuple(fact_id for fact_id, _ in facts)
    return BehaviorResult(
        languages=languages,
        fact_ids=ids,
        relations=tuple(fact_id.partition("/")[0] for fact_id in ids),
        groups=ids,
        answers=ids,
        splits=("test",) * len(ids),
        golds=tuple((str(gold),) * len(languages) for gold in told),
        aligned=True,
        gold=np.maximum(told, 0),
        log_probability=scores,
        tokens=ones,
        characters=ones,
        bytes=ones,
        provenance=Provenance(checkpoint=name),
    )


def gold_of_others() -> np.ndarray:
    """The gold option of each fact, told by the right answers in all languages but Chinese; -1 where there is none."""
    languages = list(lite(BASE)["per_language_accuracy"])
    told = np.stack([np.where(right(name), read_top(name), -1) for name in (BASE, SFT)])
    return np.delete(told, languages.index("zh"), axis=2).max(axis=(0, 2))


def read_top(name: str) -> np.ndarray:
    data = lite(name)
    languages = data["per_language_accuracy"]
    return np.array(
        [[fact[code]["pred_idx"] for code in languages] for _, fact in sorted(data["predictions"].items())]
    )


@pytest.mark.parametrize("name", [BASE, SFT])
def test_agreement_and_rankc_of_a_file(name):
    data, found = lite(name), read(name).consistency("token")
    assert found["rankc"] == pytest.approx(data["rankc"]["average"], **EXACT)
    assert found["agreement"] == pytest.approx(data["answer_agreement"]["average"], **EXACT)
    assert found["rankc_floor"] == pytest.approx(0.0901548, abs=5e-8)
    assert found["rankc_chance"] == pytest.approx(0.3768368, abs=5e-8)


def test_our_credit_differs_from_theirs_only_where_theirs_is_wrong():
    """They count a truncated item's first option as the answer, and Chinese has its own gold slot in some facts."""
    result = read(BASE)
    cut = truncated(result.log_probability)
    assert cut.sum() == 61
    others = np.array([code != "zh" for code in result.languages])
    known = gold_of_others() >= 0
    ours, theirs = result.credit("token"), right(BASE).astype(float)
    clean = ~cut & others & known[:, None]
    np.testing.assert_array_equal(ours[clean], theirs[clean])
    assert (ours[cut] == 0.25).all()
    assert result.by_language("token").set_index("language").ties["bn"] == 48 / 400


def test_the_published_bootstrap_and_our_comparison():
    """With 400 facts our interval is that of the published bootstrap up to its noise."""
    base, sft = (clustered(read(name), "fact") for name in (BASE, SFT))
    found = paired_bootstrap(sft.quantities("token")["RankC"], base.quantities("token")["RankC"])
    theirs = [round(100 * value, 2) for value in (found.difference, found.low, found.high)]
    assert (theirs, found.published_p) == ([2.86, 1.22, 4.44], 0.0004)
    row = compare_facts(base, sft, reading="token").table.set_index("quantity").loc["RankC"]
    ours = [100 * row[key] for key in ("change", "low", "high")]
    assert ours == pytest.approx(theirs, abs=0.05)
    assert row.p == pytest.approx(found.p, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "correct"), [("OLMo-2-1124-7B", 2856), ("Qwen-2.5-7B-grpo-consistent", 7055)]
)
def test_klar_runs_through_our_own_judgment(name, correct):
    """Every record is judged as it was, language by language; and what aliases and word boundaries make of it."""
    run = json.loads((VERIFY / "klar_runs" / f"{name}.json").read_text())
    facts = open_facts(f"klar:{VERIFY / 'klar'}").filter(languages=run["langs"])
    said = {(r["language"], f"{r['relation']}/{r['index']}"): r["pred"] for r in run["records"]}
    texts = [[said[code, fact.fact_id], 1, True] for code in run["langs"] for fact in facts]
    result = judge_texts(facts, texts, Provenance(checkpoint=name))
    assert len(facts) == 2619
    assert result.credit("published").sum() == correct
    for code, (hits, n) in run["per_lang"].items():
        row = result.by_language("published").set_index("language").loc[code]
        assert (round(row.accuracy * row.n), row.n) == (hits, n)
    strata = strata_of(facts, VERIFY / "klar_polyfact_contamination.json")
    assert {part: mask.sum() for part, mask in strata.items()} == {
        "contaminated": 157,
        "not contaminated": 2462,
    }
    found = result.by_stratum(strata, "published")
    assert found["contaminated"].value == pytest.approx(run["subset_acc"]["contaminated_157"][2], **EXACT)
    assert found["not contaminated"].value == pytest.approx(run["subset_acc"]["clean_all"][2], **EXACT)
