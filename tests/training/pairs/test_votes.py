"""Pairs follow the vote and nothing else, and what is saved is what is read."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from interp.data.sources import open_facts
from interp.errors import ConfigError, DataError
from interp.model.checkpoints import resolve_checkpoint
from interp.model.generation import Sampler
from interp.model.weights import load_tokenizer, load_weights
from training.examples import Example, ExampleSet, make_examples
from training.pairs.files import check_pairs, load_pairs, save_pairs, saved_summary
from training.pairs.samples import Sample, sample_answers
from training.pairs.votes import Pair, calm_pairs, cm_align_pairs, vote

NAMES = {"en": ("Paris", "Rome", "Bern"), "de": ("Paris", "Rom", "Bern"), "ja": ("パリ", "ローマ", "ベルン")}


def examples(n=1, answer=0, languages=("en", "de", "ja"), orders=None):
    """Facts with three cities as options; entity 0 is Paris, 1 Rome, 2 Bern, whatever the order shown."""
    facts = []
    for number in range(n):
        rows = []
        for code in languages:
            order = (orders or {}).get(code, (0, 1, 2))
            separator = "" if code == "ja" else " "
            shown = tuple(NAMES[code][i] for i in order)
            rows.append(
                Example(
                    f"f{number}",
                    code,
                    f"{code} {number}?",
                    separator,
                    shown,
                    order.index(answer),
                    order,
                    (),
                    (),
                )
            )
        facts.append(tuple(rows))
    return ExampleSet(tuple(languages), tuple(facts), {})


def said(language, *texts, fact="f0"):
    """Samples of one language; the entity is that of the option the text is, -1 when it is none."""
    names = {f" {name}".strip(): i for i, name in enumerate(NAMES[language])}
    return [Sample(fact, language, text, True, names.get(text.strip(), -1)) for text in texts]


def short(pairs):
    return [(pair.language, pair.chosen, pair.rejected, pair.source) for pair in pairs]


class TestVote:
    def test_most_votes_win_and_unresolved_ones_have_none(self):
        samples = said("en", " Rome", " Paris", " Rome", "?", "?", "?")
        assert vote(samples) == ({1: 2, 0: 1}, 1)

    def test_a_tie_has_no_winner(self):
        assert vote(said("en", " Rome", " Paris")) == ({0: 1, 1: 1}, None)

    def test_nobody_resolved_has_no_winner(self):
        assert vote(said("en", "?", "")) == ({}, None)


class TestCalm:
    # pooled: Rome 5, Paris 4. English alone would choose Paris.
    SAMPLES = (
        *said("en", " Paris", " Paris", " Paris", " Rome"),
        *said("de", " Rom", " Rom", " Paris", "dunno"),
        *said("ja", "ローマ", "ローマ", "", ""),
    )

    def test_every_language_follows_the_vote_of_all(self):
        made = calm_pairs(examples(), self.SAMPLES)
        assert short(made.pairs) == [
            ("en", " Rome", " Paris", "sampled"),
            ("de", " Rom", " Paris", "sampled"),
            ("de", " Rom", "dunno", "sampled"),
            ("ja", "ローマ", "", "sampled"),
        ]
        assert {(p.winner, p.chosen_entity) for p in made.pairs} == {(1, 1)}
        assert [p.rejected_entity for p in made.pairs] == [0, 0, -1, -1]
        assert all(dict(p.votes) == {1: 5, 0: 4} for p in made.pairs)
        assert made.pairs[0].prompt == "en 0?"

    def test_counts_add_up(self):
        tied = said("en", " Paris", fact="f1") + said("de", " Rom", fact="f1") + said("ja", "?", fact="f1")
        silent = [s for code in NAMES for s in said(code, "?", fact="f2")]
        agreed = said("en", " Bern", fact="f3") + said("de", "?", fact="f3") + said("ja", "パリ", fact="f3")
        agreed += said("en", " Bern", fact="f3")
        made = calm_pairs(examples(4), [*self.SAMPLES, *tied, *silent, *agreed], canonical=False)
        assert made.counts == {
            "facts": 4,
            "voted": 2,
            "ties": 1,
            "unresolved": 1,
            "pairs": 4,
            "canonical": 0,
            "pairs_by_language": {"en": 1, "de": 2, "ja": 1},
            "never_winner": {"en": 0, "de": 1, "ja": 1},
            "nothing_rejected": {"en": 1, "de": 0, "ja": 0},
        }

    def test_canonical_name_stands_in_for_a_language_that_never_says_the_winner(self):
        samples = [*said("en", " Rome", " Rome"), *said("de", " Rom"), *said("ja", "パリ", "?")]
        orders = {"ja": (2, 0, 1)}  # the name is found by entity, not by position
        with_name = calm_pairs(examples(orders=orders), samples, canonical=True)
        assert short(with_name.pairs) == [
            ("ja", "ローマ", "パリ", "canonical"),
            ("ja", "ローマ", "?", "canonical"),
        ]
        assert all(p.chosen_ended for p in with_name.pairs)
        assert with_name.counts["canonical"] == 2
        assert calm_pairs(examples(orders=orders), samples, canonical=False).pairs == ()

    def test_canonical_name_has_the_separator(self):
        made = calm_pairs(examples(), [*said("ja", "ローマ"), *said("en", "?"), *said("de", "?")])
        assert short(made.pairs)[0] == ("en", " Rome", "?", "canonical")

    def test_the_most_frequent_text_is_chosen_and_ties_are_settled(self):
        rome = [
            Sample("f0", "en", text, True, 1) for text in (" Rome, sure", " Rome", " rome", " Rome, sure")
        ]
        wrong = [Sample("f0", "en", "x", True, -1)]
        rest = [*said("de", "?"), *said("ja", "?")]
        assert calm_pairs(examples(), rome + wrong + rest).pairs[0].chosen == " Rome, sure"
        assert calm_pairs(examples(), rome[1:] + wrong + rest).pairs[0].chosen == " Rome"
        cut = [Sample("f0", "en", " Rome", False, 1), Sample("f0", "en", " Rome, sure", True, 1)]
        pair = calm_pairs(examples(), cut + wrong + rest).pairs[0]
        assert (pair.chosen, pair.chosen_ended) == (" Rome, sure", True)

    def test_the_order_of_samples_changes_no_choice(self):
        forward, backward = (
            calm_pairs(examples(), list(order)) for order in (self.SAMPLES, self.SAMPLES[::-1])
        )
        assert set(short(forward.pairs)) == set(short(backward.pairs))

    def test_the_right_answer_is_not_used(self):
        one, other = (calm_pairs(examples(answer=answer), self.SAMPLES) for answer in (0, 2))
        assert one == other


class TestCmAlign:
    def test_the_others_follow_english_and_english_has_no_pairs(self):
        made = cm_align_pairs(examples(), TestCalm.SAMPLES)  # Paris 3 : 1 in English, Rome in all
        assert short(made.pairs) == [
            ("de", " Paris", " Rom", "sampled"),
            ("de", " Paris", "dunno", "sampled"),
        ]
        assert made.pairs[0].votes == {0: 3, 1: 1}
        assert made.counts["never_winner"] == {"de": 0, "ja": 1}

    def test_canonical_gives_the_rest_a_pair(self):
        made = cm_align_pairs(examples(), TestCalm.SAMPLES, canonical=True)
        assert [p.chosen for p in made.pairs if p.language == "ja"] == ["パリ", "パリ"]

    def test_another_pivot(self):
        made = cm_align_pairs(examples(), TestCalm.SAMPLES, pivot="de")
        assert {p.winner for p in made.pairs} == {1}
        assert {p.language for p in made.pairs} == {"en", "ja"}

    def test_a_tie_in_english_is_skipped_though_all_languages_would_decide(self):
        samples = [*said("en", " Paris", " Rome"), *said("de", " Rom", "?"), *said("ja", "ローマ")]
        made = cm_align_pairs(examples(), samples)
        assert made.pairs == ()
        assert made.counts["ties"] == 1

    def test_the_right_answer_is_not_used(self):
        one, other = (cm_align_pairs(examples(answer=answer), TestCalm.SAMPLES) for answer in (0, 2))
        assert one == other

    @pytest.mark.parametrize(("pivot", "languages"), [("fr", ("en", "de")), ("en", ("en",))])
    def test_refuses_a_pivot_that_cannot_lead(self, pivot, languages):
        with pytest.raises(ConfigError, match=f"The pivot is '{pivot}' and the languages are {languages[0]}"):
            cm_align_pairs(examples(languages=languages), [], pivot=pivot)


class TestFiles:
    def test_round_trip(self, tmp_path):
        made = calm_pairs(examples(), TestCalm.SAMPLES)
        summary = save_pairs(tmp_path, made)
        assert load_pairs(tmp_path / "pairs.jsonl") == made.pairs
        assert saved_summary(tmp_path) == summary == {**made.counts, "digest": summary["digest"]}
        assert "ローマ" in (tmp_path / "pairs.jsonl").read_text()

    def test_line_separators_inside_an_answer_do_not_split_a_row(self, tmp_path):
        pair = dataclasses.replace(
            calm_pairs(examples(), TestCalm.SAMPLES).pairs[0], rejected="a\u2028b\x85c\n"
        )
        save_pairs(tmp_path, dataclasses.replace(calm_pairs(examples(), TestCalm.SAMPLES), pairs=(pair,)))
        assert load_pairs(tmp_path / "pairs.jsonl") == (pair,)

    def test_half_written_pairs_are_none(self, tmp_path):
        save_pairs(tmp_path, calm_pairs(examples(), TestCalm.SAMPLES))
        (tmp_path / "pairs.json").unlink()
        assert saved_summary(tmp_path) is None

    def test_pairs_that_changed_under_a_run_are_refused(self, tmp_path):
        save_pairs(tmp_path, calm_pairs(examples(), TestCalm.SAMPLES))
        with (tmp_path / "pairs.jsonl").open("a") as stream:
            stream.write("\n")
        with pytest.raises(DataError, match=r"has changed since the run began .* new run in another folder"):
            saved_summary(tmp_path)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"votes": None}, "row 2: votes is None; an object is expected"),
            ({"votes": {"x": 1}}, "row 2: votes are {'x': 1}; entity numbers with counts are expected"),
            ({"winner": True}, "row 2: winner is True; a whole number is expected"),
            ({"winner": 2}, "row 2: the chosen answer names entity 1 and the rejected one 0"),
            ({"rejected_entity": 1}, "row 2: the chosen answer names entity 1 and the rejected one 1"),
            ({"source": "gold"}, "row 2: source is 'gold'; sampled or canonical is expected"),
            ({"prompt": ""}, "row 2: the prompt is empty"),
            ({"rejected": " Rome"}, "row 2: the chosen and the rejected answer are both ' Rome'"),
            ({"extra": 1}, "row 2 has chosen, .*extra.*; a pair has fact_id, language"),
        ],
    )
    def test_bad_rows_are_named(self, tmp_path, change, words):
        row = dataclasses.asdict(calm_pairs(examples(), TestCalm.SAMPLES).pairs[0])
        file = tmp_path / "pairs.jsonl"
        file.write_text(json.dumps(row) + "\n" + json.dumps({**row, **change}) + "\n")
        with pytest.raises(DataError, match=words):
            load_pairs(file)

    @pytest.mark.parametrize(
        ("text", "words"), [("{", "row 1 is not JSON"), ("[]", "row 1 has list"), ("", "no pairs")]
    )
    def test_bad_files_are_named(self, tmp_path, text, words):
        (tmp_path / "pairs.jsonl").write_text(text)
        with pytest.raises(DataError, match=words):
            load_pairs(tmp_path / "pairs.jsonl")

    def test_a_missing_file_and_one_that_is_not_text(self, tmp_path):
        with pytest.raises(DataError, match="cannot be read: No such file"):
            load_pairs(tmp_path / "pairs.jsonl")
        (tmp_path / "pairs.jsonl").write_bytes(b"\xff\xfe")
        with pytest.raises(DataError, match="not UTF-8"):
            load_pairs(tmp_path / "pairs.jsonl")

    def test_pairs_of_other_facts_or_prompts_are_refused(self):
        pair: Pair = calm_pairs(examples(), TestCalm.SAMPLES).pairs[0]
        check_pairs([pair], examples())
        with pytest.raises(DataError, match=r"Pair 2 \(f7, en\) is of none of the 1 train facts in en,de,ja"):
            check_pairs([pair, dataclasses.replace(pair, fact_id="f7")], examples())
        with pytest.raises(
            DataError, match=r"Pair 1 \(f0, en\) has the prompt 'Q'; that of this run is 'en 0\?'"
        ):
            check_pairs([dataclasses.replace(pair, prompt="Q")], examples())


@pytest.fixture(scope="module")
def organism():
    checkpoint = resolve_checkpoint("organism:final")
    return load_weights(checkpoint, torch.float32), load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def facts():
    return open_facts("cldr").filter(splits=["train"], languages=["en", "de"], limit=5)


class TestSampling:
    def draw(self, organism, asked, seed=0, **changes):
        model, tokenizer = organism
        sampler = Sampler(8, (tokenizer.eos_token_id,), temperature=1.0, batch=7)
        return sample_answers(model, tokenizer, asked, sampler, generations=4, seed=seed, **changes)[0]

    def test_the_seed_decides_and_the_random_state_stays(self, organism, facts):
        asked = make_examples(facts, facts)
        torch.manual_seed(1)
        before, first = torch.get_rng_state(), self.draw(organism, asked)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert self.draw(organism, asked) == first
        assert self.draw(organism, asked, seed=1) != first
        assert [(s.fact_id, s.language) for s in first] == [
            (e.fact_id, e.language) for fact in asked.facts for e in fact for _ in range(4)
        ]
        assert len(set(first)) > len(asked) * 2  # repeated prompts are drawn each on their own

    def test_right_answers_change_no_sample_and_no_pair(self, organism, facts):
        turned = dataclasses.replace(
            facts,
            facts=tuple(
                dataclasses.replace(f, object_id=f.option_ids[(f.answer_index + 1) % len(f.option_ids)])
                for f in facts.facts
            ),
        )
        made = []
        for given in (facts, turned):
            asked = make_examples(given, facts)
            made.append(calm_pairs(asked, self.draw(organism, asked)))
        assert made[0].pairs
        assert made[0] == made[1]

    def test_progress_counts_prompts(self, organism, facts):
        told = []
        self.draw(organism, make_examples(facts, facts), progress=lambda *given: told.append(given))
        assert told[0] == ("sampling", 7, 40)
        assert told[-1] == ("sampling", 40, 40)
