"""Published answers read through our own result types give the published numbers, and ours where those are
wrong."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.comparison import compare
from analyses.strata import strata_of
from interp.data.sources import open_facts
from interp.measure.behavior.generation import judge_texts
from interp.results.base import Provenance
from interp.results.behavior import BehaviorResult
from interp.results.consistency import truncated
from interp.stats import paired_bootstrap
from tests.support.published import full, needs_full_files, read_full
from tests.truth.lite import BASE, SFT, SOURCES, lite, told_gold

EXACT = {"rel": 0, "abs": 1e-9}


def read(name: str, source: str) -> BehaviorResult:
    """A published file as a result: its scores are means over tokens, so one token each gives them back."""
    _, languages, scores, _ = lite(name, source)
    ones = np.ones(scores.shape, dtype=np.int64)
    ids = tuple(f"fact-{i:03d}" for i in range(len(scores)))
    told = told_gold(source)
    return BehaviorResult(
        languages=languages,
        fact_ids=ids,
        relations=("",) * len(ids),
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


@SOURCES
@pytest.mark.parametrize("name", [BASE, SFT])
def test_agreement_and_rankc_of_a_file(name, source):
    data, found = lite(name, source).stated, read(name, source).consistency("token")
    assert found["rankc"] == pytest.approx(data["rankc"]["average"], **EXACT)
    assert found["agreement"] == pytest.approx(data["answer_agreement"]["average"], **EXACT)
    assert found["rankc_floor"] == pytest.approx(0.0901548, abs=5e-8)
    assert found["rankc_chance"] == pytest.approx(0.3768368, abs=5e-8)


@SOURCES
def test_our_credit_differs_from_theirs_only_where_theirs_is_wrong(source):
    """They count a truncated item's first option as the answer, and Chinese has its own gold slot in some
    facts."""
    result = read(BASE, source)
    cut = truncated(result.log_probability)
    assert cut.sum() == 61
    others = np.array([code != "zh" for code in result.languages])
    known = told_gold(source) >= 0
    ours, theirs = result.credit("token"), lite(BASE, source).correct.astype(float)
    clean = ~cut & others & known[:, None]
    np.testing.assert_array_equal(ours[clean], theirs[clean])
    assert (ours[cut] == 0.25).all()
    assert result.by_language("token").set_index("language").ties["bn"] == 48 / 400


@SOURCES
def test_the_published_bootstrap_and_our_comparison(source):
    """With 400 facts our interval is that of the published bootstrap up to its noise."""
    before, after = (read(name, source) for name in (BASE, SFT))
    found = paired_bootstrap(after.quantities("token")["RankC"], before.quantities("token")["RankC"])
    theirs = [round(100 * value, 2) for value in (found.difference, found.low, found.high)]
    assert (theirs, found.published_p) == ([2.86, 1.22, 4.44], 0.0004)
    comparison = compare(before, after, scoring="token", cluster="fact")
    row = comparison.to_frame().set_index("quantity").loc["RankC"]
    ours = [100 * row[key] for key in ("change", "low", "high")]
    assert ours == pytest.approx(theirs, abs=0.05)
    assert row.p == pytest.approx(found.p, abs=5e-4)


@needs_full_files
@pytest.mark.parametrize(
    ("name", "correct"), [("OLMo-2-1124-7B", 2856), ("Qwen-2.5-7B-grpo-consistent", 7055)]
)
def test_klar_runs_through_our_own_judgment(name, correct):
    """Every record is judged as it was, language by language; and what aliases and word boundaries make of
    it."""
    run = read_full(f"klar_runs/{name}.json")
    facts = open_facts(f"klar:{full('klar')}").filter(languages=run["langs"])
    said = {(r["language"], f"{r['relation']}/{r['index']}"): r["pred"] for r in run["records"]}
    texts = [[said[code, fact.fact_id], 1, True] for code in run["langs"] for fact in facts]
    result = judge_texts(facts, texts, Provenance(checkpoint=name))
    assert len(facts) == 2619
    assert result.credit("published").sum() == correct
    for code, (hits, n) in run["per_lang"].items():
        row = result.by_language("published").set_index("language").loc[code]
        assert (round(row.accuracy * row.n), row.n) == (hits, n)
    strata = strata_of(facts, full("klar_polyfact_contamination.json"))
    assert {part: mask.sum() for part, mask in strata.items()} == {
        "contaminated": 157,
        "not contaminated": 2462,
    }
    found = result.by_stratum(strata, "published")
    assert found["contaminated"].value == pytest.approx(run["subset_acc"]["contaminated_157"][2], **EXACT)
    assert found["not contaminated"].value == pytest.approx(run["subset_acc"]["clean_all"][2], **EXACT)
