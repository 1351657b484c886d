"""Completions and their judgment: the same in every batch, cut where they stop, without touching the random
state."""

import pytest
import torch
from transformers import GenerationConfig

from interp.data.sources.cldr import cldr_facts
from interp.model.generation import Completion, Sampler, complete, newline_ids
from tests.support.tiny import byte_tokenizer, tiny_model
from training.examples import make_examples
from training.run.evaluation import Answer, complete_examples, judge, summarize

EOS = 258
PROMPTS = ["a", "a longer prompt than the others", "ab", "prompt", "x" * 60]


@pytest.fixture(scope="module", params=["qwen2", "olmo2"])
def model(request):
    return tiny_model(request.param, max_position_embeddings=256)


def test_greedy_completions_depend_on_no_neighbor(model):
    alone = [complete(model, byte_tokenizer(), [p], Sampler(6, (EOS,)))[0] for p in PROMPTS]
    for batch in (1, 2, 5):
        assert complete(model, byte_tokenizer(), PROMPTS, Sampler(6, (EOS,), batch=batch)) == alone


def test_greedy_completions_follow_the_most_probable_token(model):
    (said,) = complete(model, byte_tokenizer(), ["start"], Sampler(4, (EOS,)))
    ids = byte_tokenizer()("start")["input_ids"]
    for _ in range(said.n_tokens):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    assert said.text == byte_tokenizer().decode(ids[5:], skip_special_tokens=True)


def test_a_stop_token_ends_a_completion(model):
    free = complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,)))
    ids = byte_tokenizer()(PROMPTS[0])["input_ids"]
    first = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    stopped = complete(model, byte_tokenizer(), PROMPTS[:1], Sampler(8, (EOS, first)))[0]
    assert (stopped.n_tokens, stopped.ended) == (1, True)
    assert free[0].n_tokens > 1


def test_greedy_leaves_the_random_state_and_the_mode_as_they_were(model):
    model.train()
    before = torch.get_rng_state()
    complete(model, byte_tokenizer(), PROMPTS, Sampler(4, (EOS,)))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    model.eval()


def test_temperature_and_top_p_reach_the_sampler(model):
    def texts(**changes: float) -> list[Completion]:
        torch.manual_seed(0)
        return complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,), **changes))

    greedy = texts()
    assert texts(temperature=1.0) != greedy
    assert texts(temperature=1.0, top_p=1e-6) == greedy
    assert texts(temperature=1e-4) == greedy


def test_every_token_with_a_line_break_is_found():
    assert newline_ids(byte_tokenizer()) == (byte_tokenizer()("\n")["input_ids"][0],)


def test_shares_of_processes_add_up_to_all(model):
    facts = cldr_facts().filter(languages=["en", "sw", "zh"], limit=5)
    examples = make_examples(facts, facts)
    whole = complete_examples(model, byte_tokenizer(), examples, "train", Sampler(3, (EOS,)))
    assert len(whole) == 15
    for processes in (2, 4):
        parts = [
            complete_examples(
                model, byte_tokenizer(), examples, "train", Sampler(3, (EOS,)), share=(rank, processes)
            )
            for rank in range(processes)
        ]
        assert sorted(str(answer) for part in parts for answer in part) == sorted(map(str, whole))


def test_a_summary_by_hand():
    def answer(fact: str, code: str, outcome: str, n: int) -> Answer:
        return Answer("train", fact, code, "", outcome, -1, n)  # type: ignore[arg-type]

    rows = [answer("a", "en", "correct", 2), answer("a", "sw", "correct", 4), answer("b", "en", "correct", 2)]
    rows += [
        answer("b", "sw", "empty", 1),
        answer("c", "en", "other", 3),
        answer("c", "sw", "wrong_language", 6),
    ]
    found = summarize(rows)
    assert found["accuracy"] == 0.5
    assert found["total_consistency"] == round(1 / 3, 4)
    assert (found["resolved"], found["empty"], found["facts"]) == (round(4 / 6, 4), round(1 / 6, 4), 3)
    assert found["accuracy_by_language"] == {"en": round(2 / 3, 4), "sw": round(1 / 3, 4)}
    assert found["tokens_by_language"] == {"en": round(7 / 3, 2), "sw": round(11 / 3, 2)}


def test_the_entity_named_is_the_same_number_in_every_language():
    facts = cldr_facts().filter(languages=["en", "zh"], relations=["capital"], limit=3)
    for fact in make_examples(facts, facts, "options").facts:
        for entity in range(4):
            said = [judge(e, Completion(e.options[e.entities.index(entity)], 1, True)) for e in fact]
            assert [answer.entity for answer in said] == [entity, entity]
            right = entity == fact[0].gold_entity
            assert {answer.outcome for answer in said} == {"correct" if right else "other"}


def test_the_parents_own_generation_settings_do_not_reach_a_completion(model):
    plain = complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,)))
    settings = model.generation_config
    model.generation_config = GenerationConfig(
        repetition_penalty=50.0, min_new_tokens=8, no_repeat_ngram_size=1
    )
    own = model.generation_config
    try:
        assert complete(model, byte_tokenizer(), PROMPTS, Sampler(8, (EOS,))) == plain
        assert model.generation_config is own
    finally:
        model.generation_config = settings
