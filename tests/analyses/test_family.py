"""The table of the organism's family, on answers made by hand."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from analyses.family import evaluate_member, family_curves, load_family_facts
from analyses.family_table import FamilyFacts, family_table, strata
from figures.family import plot_family
from interp.data.sources.cldr import cldr_facts
from tests.support.extras import needed
from training.family import BASE
from training.organism.exposure import exposure
from training.organism.recipe import OrganismConfig


@pytest.fixture(scope="module")
def asked():
    return load_family_facts(train=20, held_out=30)


def test_questions_are_of_every_split_and_the_first_are_those_trained_on(asked):
    splits = [fact.split for fact in asked.facts]
    assert [splits.count(name) for name in ("train", "validation", "test")] == [20, 30, 30]
    trained_on = cldr_facts().filter(languages=asked.facts.languages, splits=["train"], limit=64)
    assert {f.fact_id for f in asked.facts if f.split == "train"} <= {f.fact_id for f in trained_on}
    assert BASE == "organism:final"


def test_every_question_is_in_one_stratum(asked):
    counted = sum(chosen.astype(int) for chosen in strata(asked).values())
    assert (counted == 1).all()


def test_strata_follow_what_was_read_and_how_it_is_spelled(asked):
    found, languages = strata(asked), asked.facts.languages
    for row, fact in enumerate(asked.facts):
        for column, code in enumerate(languages):
            (name,) = (name for name, chosen in found.items() if chosen[row, column])
            if fact.split == "test":
                assert name == "test, read nowhere"
            elif code == "en":
                assert name == f"{fact.split}, en"
            elif fact.fact_id in asked.exposed.seen[code]:
                assert name == f"{fact.split}, read"
            else:
                alike = fact.answer(code).casefold() == fact.answer("en").casefold()
                assert name.endswith("alike") == alike


def test_a_planted_change_is_found_in_its_stratum_and_nowhere_else(asked):
    random = np.random.default_rng(0)
    base = random.random((len(asked.facts), len(asked.facts.languages))) < 0.5
    target = strata(asked)["validation, unread, spelled otherwise"]
    taught = [np.where(target & (random.random(base.shape) < 0.6), True, base) for _ in range(3)]
    table = family_table(
        {("base", 0): base, **{("taught", seed): one for seed, one in enumerate(taught)}}, asked
    )
    rows = table.frame[table.frame.member == "taught"].set_index("stratum")
    expected = np.mean(taught, axis=0)[target].mean() - base[target].mean()
    changed = rows.loc["validation, unread, spelled otherwise"]
    assert changed.change == pytest.approx(expected, abs=1e-12)
    assert changed.low <= expected <= changed.high
    assert changed.low > 0.15
    assert (changed.seeds, changed.lowest <= changed.change <= changed.highest) == (3, True)
    rest = rows.drop("validation, unread, spelled otherwise")
    assert (rest[["change"]] == 0).all(axis=None)
    assert ((rest.low < 0) & (rest.high == -rest.low)).all()  # nothing changed here, but something might have
    assert "taught" in table.to_markdown()
    assert "+0.000 [-0.0" in repr(table)


def test_the_interval_is_over_countries_not_questions():
    """Facts of one country that change together are one observation, not sixty."""
    config = OrganismConfig()
    facts = cldr_facts().filter(languages=config.languages, splits=["validation"])
    group = max({f.group for f in facts}, key=[f.group for f in facts].count)
    asked = FamilyFacts(facts, exposure(cldr_facts().filter(languages=config.languages), config))
    base = np.zeros((len(facts), len(facts.languages)), dtype=bool)
    moved = base.copy()
    moved[[f.group == group for f in facts]] = True
    table = family_table({("base", 0): base, ("moved", 0): moved}, asked).frame
    found = table[table.member == "moved"]
    assert (found.low < 0).all()
    assert (found.high > found.change).all()
    assert found.n_clusters.max() == len({f.group for f in facts})


def test_the_prior_is_the_relations_most_frequent_answer_among_other_facts(asked):
    """By hand: the option most often right in the relation's train facts, the fact itself not counted.

    Of capitals and domains each option is right once, so that nothing is to be had from the counts.
    """
    train = cldr_facts().filter(splits=["train"])
    credits = []
    for fact in asked.facts:
        golds = Counter(
            f.object_id for f in train if f.relation == fact.relation and f.fact_id != fact.fact_id
        )
        most = max(golds[option] for option in fact.option_ids)
        tied = [option for option in fact.option_ids if golds[option] == most]
        if fact.relation in ("capital", "tld_country") and fact.split == "train":
            tied = list(fact.option_ids)
        credits.append((fact.object_id in tied) / len(tied))
    nothing = np.zeros((len(asked.facts), len(asked.facts.languages)), dtype=bool)
    rows = family_table({("base", 0): nothing}, asked).frame.set_index("stratum")
    for name, mask in strata(asked).items():
        assert rows.loc[name, "prior"] == pytest.approx(
            (mask * np.array(credits)[:, None]).sum() / mask.sum()
        )


def test_a_saved_result_is_reused_for_its_checkpoint_and_facts_only(tmp_path, monkeypatch):
    facts = load_family_facts(1, 1).facts.filter(languages=["en", "sw"])
    file = tmp_path / "base.behavior.npz"
    first = evaluate_member(BASE, facts, file)
    calls = []
    monkeypatch.setattr("analyses.family.measure_behavior", lambda *given: calls.append(given) or first)
    assert (evaluate_member(BASE, facts, file).log_probability == first.log_probability).all()
    assert not calls
    evaluate_member("organism:early", facts, file)
    evaluate_member(BASE, facts.filter(languages=["en"]), file)
    assert len(calls) == 2


def test_curves_count_right_answers_by_stratum_and_step(tmp_path, asked):
    """Answers made by hand: at step 20 everything but one stratum is right."""
    pq = needed("pyarrow.parquet")
    pa = needed("pyarrow")
    wrong = strata(asked)["validation, unread, spelled otherwise"]
    for step in (0, 20):
        rows = [
            {
                "fact_id": fact.fact_id,
                "language": code,
                "outcome": "correct" if step and not wrong[i, j] else "empty",
            }
            for i, fact in enumerate(asked.facts)
            for j, code in enumerate(asked.facts.languages)
        ] + [{"fact_id": "of another set", "language": "en", "outcome": "correct"}]
        folder = tmp_path / "sft-seed1" / "evaluations"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"validation-{step:06d}.parquet")
    curves = family_curves(tmp_path, [("sft", 1)], asked)
    assert (curves["mean"] == curves.accuracy).all()  # of one seed
    both = pd.concat([curves, curves.assign(seed=2, accuracy=1 - curves.accuracy, mean=0.5)])
    drawn = plot_family(both.assign(mean=0.5)).axes[0].get_lines()  # the figure draws means, and takes none
    assert drawn[-1].get_ydata().tolist() == [0.5, 0.5]
    assert set(curves.member) == {"sft"}
    assert set(curves.seed) == {1}
    assert set(curves[curves.step == 0].accuracy) == {0.0}
    late = curves[curves.step == 20].set_index("stratum")
    assert late.accuracy["validation, unread, spelled otherwise"] == 0
    assert (late.drop("validation, unread, spelled otherwise").accuracy == 1).all()
    assert late.n.to_dict() == {name: chosen.sum() for name, chosen in strata(asked).items()}
    figure = plot_family(curves)
    titles = {" ".join(axes.get_title(loc="left").split()): axes for axes in figure.axes}
    assert set(titles) == {f"{name} (n {n})" for name, n in late.n.items()}
    for name, n in late.n.items():
        mean = titles[f"{name} (n {n})"].get_lines()[-1]
        assert mean.get_xdata().tolist() == [0, 20]
        assert mean.get_ydata().tolist() == [0.0, late.accuracy[name]]
        low, high = titles[f"{name} (n {n})"].get_ylim()
        assert high - low >= 0.2 - 1e-9
