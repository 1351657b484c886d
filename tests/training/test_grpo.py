"""GRPO on tiny models: what goes into the loss, its gradient, its probabilities, and what every knob does."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback

from interp.data.facts import FactSet, Wording
from interp.errors import ConfigError
from interp.model import generation
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer
from tests.support.training_runs import (
    LANGUAGES,
    WORDS,
    grpo_settings,
    little_facts,
    read_table,
    records,
    save_taught,
    weights,
)

needed("trl")
from training import grpo  # noqa: E402
from training.examples import make_examples  # noqa: E402
from training.methods import GrpoConfig  # noqa: E402
from training.rollouts.trainer import fact_rows  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
NO_CLIPPING = {"max_grad_norm": 1e9}
BLOCK = len(LANGUAGES) * 3  # rows of a fact
PAD, EOS, NEWLINE = 256, 258, byte_tokenizer()("\n")["input_ids"][0]


@pytest.fixture(scope="module", params=["qwen2", "olmo2"])
def place(request, tmp_path_factory):
    """A folder with a parent and facts."""
    folder = tmp_path_factory.mktemp(request.param)
    save_taught(folder / "parent", request.param)
    little_facts().save(folder / "facts.jsonl")
    return folder


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    save_taught(folder / "parent")
    little_facts().save(folder / "facts.jsonl")
    return folder


class Seen:
    """What passed through a trainer."""

    def __init__(self, said=None):
        self.said = said  # completions to take in place of sampled ones, in the order of the rows
        self.rows, self.batch, self.gradient, self.parts, self.drawn = [], {}, {}, [], []

    def completions(self) -> list[list[int]]:
        return [
            ids[mask.bool()].tolist()
            for ids, mask in zip(self.batch["completion_ids"], self.batch["completion_mask"], strict=True)
        ]

    def prompts(self) -> list[list[int]]:
        return [
            ids[mask.bool()].tolist()
            for ids, mask in zip(self.batch["prompt_ids"], self.batch["prompt_mask"], strict=True)
        ]

    def texts(self) -> list[str]:
        return [byte_tokenizer().decode(ids, skip_special_tokens=True) for ids in self.completions()]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Train, and return what was seen of the first step."""
    count = iter(range(100))

    def start(folder, said=None, **changes) -> Seen:
        seen = Seen(said)

        class Look(TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, model=None, **_):
                if state.global_step == 0:
                    seen.gradient = {
                        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
                    }

        class Spy(Trainer):
            def __init__(self, **options):
                super().__init__(**options)
                self.add_callback(Look())

            def _generate_single_turn(self, prompt_ids, *rest):
                if seen.said is None:
                    return super()._generate_single_turn(prompt_ids, *rest)
                return [list(said) for said in seen.said], None

            def _generate_and_score_completions(self, inputs):
                output = super()._generate_and_score_completions(inputs)
                if not seen.batch:
                    seen.rows, seen.batch = inputs, {**output}
                return output

            def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, keep, **options):
                found = super()._get_per_token_logps_and_entropies(
                    model, input_ids, attention_mask, keep, **options
                )
                if self.state.global_step == 0:
                    seen.parts.append((input_ids, attention_mask, found[0].detach()))
                return found

        def draw(logits, sampler, before, numbers):
            scores = sampler.processors()(before, logits)
            seen.steps.append(scores.clone())
            return plain_draw(logits, sampler, before, numbers)

        def sample(model, prompts, *rest):
            seen.steps = []
            written = plain_continue(model, prompts, *rest)
            seen.drawn.append((prompts, written, torch.stack(seen.steps, 1)))
            return written

        monkeypatch.setattr(generation, "_draw", draw)
        monkeypatch.setattr(generation, "_continue", sample)
        monkeypatch.setattr(generation, "_CROWDED", -1)  # no row is taken out, so scores stay with their rows
        monkeypatch.setattr(grpo, "PooledGRPOTrainer", Spy)
        out = tmp_path / f"run-{next(count)}"
        grpo.train_grpo(GrpoConfig(**grpo_settings(folder, **{"out": out, **NO_CLIPPING} | changes)))
        seen.out = out
        return seen

    Trainer = grpo.PooledGRPOTrainer
    plain_draw, plain_continue = generation._draw, generation._continue
    return start


def flat(gradient: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradient[name].double().reshape(-1) for name in sorted(gradient)])


def log_probabilities(model, prompt: list[int], said: list[int], temperature: float = 1.0) -> torch.Tensor:
    """Of one completion, alone and without padding."""
    logits = model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1)[torch.arange(len(said)), torch.tensor(said)]


def parent(folder):
    return AutoModelForCausalLM.from_pretrained(folder / "parent")


def scores_by_hand(texts, rows) -> np.ndarray:
    """The outcome of every completion by the words of its first line."""
    found = []
    for text, row in zip(texts, rows, strict=True):
        right, wrong = WORDS[LANGUAGES[row["language"]]]
        words = next((line.split() for line in text.split("\n") if line.strip()), [])
        named = [option for option in (right, wrong) if option in words]
        found.append({(right,): 1.0, (wrong,): 0.0}.get(tuple(named), -0.5 if words else -1.0))
    return np.array(found)


# what is put into the loss


@pytest.mark.parametrize("pooling", ["group", "per_lang"])
def test_advantages_are_those_of_the_paper(place, run, pooling):
    """(R - mean) / (population's standard deviation + 1e-6), in loops, from the texts that were sampled."""
    seen = run(place, pooling=pooling, facts_per_step=3)
    scores = scores_by_hand(seen.texts(), seen.rows)
    assert len(set(scores.tolist())) >= 3
    assert [row["fact"] for row in seen.rows[::BLOCK]] == [*dict.fromkeys(r["fact"] for r in seen.rows)]
    expected = np.zeros(len(scores))
    for start in range(0, len(scores), BLOCK):
        cell = {(la, g): start + 3 * la + g for la in range(3) for g in range(3)}
        for language in range(3):
            if pooling == "per_lang":
                rewards = [scores[cell[language, g]] for g in range(3)]
            else:
                rewards = []
                for g in range(3):
                    own = [scores[cell[la, g]] for la in range(3)]
                    rewards.append(sum(own) + (1.0 if own == [1, 1, 1] else 0.0))
            mean = sum(rewards) / 3
            deviation = (sum((r - mean) ** 2 for r in rewards) / 3) ** 0.5
            for g in range(3):
                expected[cell[language, g]] = (rewards[g] - mean) / (deviation + 1e-6)
    assert seen.batch["advantages"].numpy() == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 0.5


def test_what_is_logged_is_what_was_sampled(qwen, run):
    seen = run(qwen, rollouts_every=1)
    scores = scores_by_hand(seen.texts(), seen.rows)
    (logged,) = records(seen.out)
    table = read_table(seen.out / "rollouts" / "step-000001.parquet")
    lengths = np.array([len(ids) for ids in seen.completions()])
    assert logged["score"] == pytest.approx(scores.mean())
    assert logged["right"] == pytest.approx((scores == 1).mean())
    assert logged["empty"] == pytest.approx((scores == -1).mean())
    assert logged["resolved"] == pytest.approx((scores >= 0).mean())
    for index, code in enumerate(LANGUAGES):
        own = [row["language"] == index for row in seen.rows]
        assert logged[f"length/{code}"] == pytest.approx(lengths[own].mean())
    assert [row["completion"] for row in table] == seen.texts()
    assert [row["advantage"] for row in table] == pytest.approx(seen.batch["advantages"].tolist(), abs=1e-6)


# the gradient


def gradient_by_hand(folder, seen: Seen) -> torch.Tensor:
    """Of the mean over rows of -A * mean over tokens of log p, one row at a time."""
    model = parent(folder)
    objective = 0
    for prompt, said, advantage in zip(
        seen.prompts(), seen.completions(), seen.batch["advantages"].tolist(), strict=True
    ):
        objective = objective - advantage * log_probabilities(model, prompt, said).mean()
    (objective / len(seen.rows)).backward()
    return flat({name: p.grad for name, p in model.named_parameters()})


def test_the_gradient_is_that_of_the_objective(place, run):
    """With any micro-batch, bucketed or not; the same rollouts are taken each time."""
    first = run(place)
    expected = gradient_by_hand(place, first)
    assert expected.norm() > 1e-2
    said = first.completions()
    assert len({len(ids) for ids in said}) > 2
    assert len({len(ids) for ids in first.prompts()}) > 2
    found = {
        (size, bucketing): flat(run(place, said, micro_batch=size, bucketing=bucketing).gradient)
        for size, bucketing in ((3, True), (6, False), (18, False))
    }
    for gradient in (flat(first.gradient), *found.values()):
        assert torch.cosine_similarity(gradient, expected, dim=0) > 0.9999
        assert gradient.norm() / expected.norm() == pytest.approx(1, abs=1e-4)
    largest = expected.abs().max()
    for gradient in found.values():
        assert (gradient - found[18, False]).abs().max() / largest < 1e-5


def test_buckets_cut_padding(qwen, run):
    said = [[65] * (1 + row % 8) for row in range(18)]
    widths = {
        bucketing: [
            part[0].shape[1] for part in run(qwen, said, micro_batch=6, bucketing=bucketing).parts[:3]
        ]
        for bucketing in (True, False)
    }
    assert len(set(widths[False])) == 1
    assert widths[True] == sorted(widths[True])
    assert sum(widths[True]) < sum(widths[False])


# probabilities


def scored(seen: Seen) -> dict[tuple[int, ...], torch.Tensor]:
    """What the trainer thinks of every sequence, by its tokens without padding."""
    found = {}
    for ids, mask, values in seen.parts:
        keep = values.shape[1]
        for row, told, logs in zip(ids, mask.bool(), values, strict=True):
            found[tuple(row[told].tolist())] = logs[told[-keep:]]
    return found


def drawn(seen: Seen) -> dict[tuple[int, ...], torch.Tensor]:
    """What the sampler thought of every token when it drew it."""
    found = {}
    for prompts, written, scores in seen.drawn:
        for prompt, said, logits in zip(prompts, written, scores, strict=True):
            tokens = torch.tensor(said)
            logged = logits[: len(said)].log_softmax(-1)[torch.arange(len(said)), tokens]
            found[(*prompt, *said)] = logged
    return found


@pytest.mark.parametrize("bucketing", [True, False])
def test_rollout_and_training_agree_on_probabilities(place, run, bucketing):
    seen = run(place, micro_batch=6, bucketing=bucketing)
    model, trained, sampled = parent(place), scored(seen), drawn(seen)
    for prompt, said in zip(seen.prompts(), seen.completions(), strict=True):
        with torch.no_grad():
            expected = log_probabilities(model, prompt, said)
        sequence = (*prompt, *said)
        assert torch.allclose(trained[sequence], expected, atol=1e-5)
        assert torch.allclose(sampled[sequence], expected, atol=1e-5)
    assert all(torch.isfinite(scores).all() for *_, scores in seen.drawn)  # nothing was cut off


@pytest.mark.parametrize("score_at_one", [True, False])
def test_scoring_at_one_and_at_the_sampler_s_temperature(qwen, run, score_at_one):
    seen = run(qwen, temperature=0.5, score_at_one=score_at_one)
    model, trained, sampled = parent(qwen), scored(seen), drawn(seen)
    for prompt, said in zip(seen.prompts(), seen.completions(), strict=True):
        with torch.no_grad():
            cold, plain = log_probabilities(model, prompt, said, 0.5), log_probabilities(model, prompt, said)
        sequence = (*prompt, *said)
        assert torch.allclose(sampled[sequence], cold, atol=1e-5)
        assert torch.allclose(trained[sequence], plain if score_at_one else cold, atol=1e-5)
    card = json.loads((seen.out / "final" / "card.json").read_text())
    assert card["data"]["scored_at_temperature"] == (1.0 if score_at_one else 0.5)
    assert card["data"]["sampled_at"] == {"temperature": 0.5, "top_p": 1.0}
    assert card["data"]["on_policy"] is not score_at_one


def test_top_p_cuts_the_sampler(qwen, run):
    seen = run(qwen, top_p=0.5)
    assert any(torch.isinf(scores).any() for *_, scores in seen.drawn)


def test_rollouts_are_of_the_model_without_dropout(qwen, tmp_path, run):
    config = json.loads((qwen / "parent" / "config.json").read_text())
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    (noisy / "facts.jsonl").write_bytes((qwen / "facts.jsonl").read_bytes())
    (noisy / "parent").mkdir()
    for file in (qwen / "parent").iterdir():
        (noisy / "parent" / file.name).write_bytes(file.read_bytes())
    (noisy / "parent" / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.5}))
    seen = run(noisy)
    model, trained = parent(qwen), scored(seen)
    for prompt, said in zip(seen.prompts(), seen.completions(), strict=True):
        with torch.no_grad():
            assert torch.allclose(
                trained[(*prompt, *said)], log_probabilities(model, prompt, said), atol=1e-5
            )


# where completions end


def test_a_line_break_ends_a_completion(place, run):
    seen = run(place, stop_at_newline=True, facts_per_step=6)
    ended = 0
    for said in seen.completions():
        assert PAD not in said
        assert NEWLINE not in said[:-1]
        assert EOS not in said[:-1]
        ended += said[-1] == NEWLINE
        assert said[-1] in (NEWLINE, EOS) or len(said) == 8
    assert ended > 3
    assert int(seen.batch["completion_mask"].sum()) == sum(map(len, seen.completions()))
    before = json.loads((place / "parent" / "generation_config.json").read_text())
    after = json.loads((seen.out / "final" / "generation_config.json").read_text())
    assert after["eos_token_id"] == before["eos_token_id"] == EOS


def test_without_it_they_go_on(qwen, run):
    seen = run(qwen, facts_per_step=6)
    assert any(NEWLINE in said[:-1] for said in seen.completions())
    assert all(PAD not in said for said in seen.completions())


# knobs

SAID = [  # per language, three rollouts; right in 3, 1 and 0 languages
    [" yes", " nope", " zz"],
    [" gut", " yes", ""],
    [" ndiyo", " ndiyo", " hapa"],
]
"""Scores [1, 1, 1], [0, -0.5 (English in German), 1], [-0.5, -1, 0]."""
SUMS = (3.0, 0.5, -1.5)


def rewards_of(run, folder, **changes) -> list[float]:
    said = [[*byte_tokenizer()(text)["input_ids"], EOS] for row in SAID for text in row]
    seen = run(folder, said, facts_per_step=1, rollouts_every=1, **changes)
    return [row["reward"] for row in read_table(seen.out / "rollouts" / "step-000001.parquet")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (4.0, 0.5, -1.5)),
        ({"bonus": "none"}, SUMS),
        ({"bonus_size": 3.0}, (6.0, 0.5, -1.5)),
        ({"bonus": "power", "bonus_power": 2.0}, (4.0, 0.5 + 1 / 9, -1.5)),
        ({"bonus": "power", "bonus_power": 1.0, "bonus_size": 3.0}, (6.0, 1.5, -1.5)),
        ({"bonus": "ladder", "ladder": ("1:0.25", "3:2")}, (5.0, 0.75, -1.5)),
        ({"bonus": "none", "score_correct": 2.0}, (6.0, 1.5, -1.5)),
        ({"bonus": "none", "score_other": 0.25}, (3.0, 0.75, -1.25)),
        ({"bonus": "none", "score_unresolved": -0.25}, (3.0, 0.75, -1.25)),
        ({"bonus": "none", "score_empty": -3.0}, (3.0, 0.5, -3.5)),
        ({"bonus": "none", "score_wrong_language": -0.75}, (3.0, 0.25, -1.5)),
        # entities: [0, 0, 0], [1, -, 0], [-, -, 1]; 4 * (0.75 * right / 3 + 0.25 * agreeing pairs / 3)
        ({"bonus": "none", "pooling": "consistency"}, (3 + 4, 0.5 + 1, -1.5)),
        ({"bonus": "none", "pooling": "consistency", "agreement": 2.0}, (3 + 2, 0.5 + 0.5, -1.5)),
        ({"bonus": "none", "pooling": "consistency", "anchor": 0.0}, (3 + 4, 0.5, -1.5)),
    ],
)
def test_every_reward_setting_does_what_it_says(qwen, run, changes, expected):
    assert rewards_of(run, qwen, **changes) == pytest.approx(expected * 3)


def test_each_language_on_its_own(qwen, run):
    found = rewards_of(run, qwen, pooling="per_lang")
    assert found == pytest.approx([1, 0, -0.5, 1, -0.5, -1, 1, 1, 0])


def test_minimum_coverage_reaches_the_matcher(qwen, run, tmp_path):
    facts = little_facts(2, 0)
    named = Wording("?", "s", ("South Korea", "Japan"))
    korean = [dataclasses.replace(fact, wording=dict.fromkeys(LANGUAGES, named)) for fact in facts]
    file = tmp_path / "korea.jsonl"
    FactSet("korea", tuple(korean), LANGUAGES).save(file)
    said = [byte_tokenizer()(" Korea")["input_ids"]] * 9
    right = [
        records(run(qwen, said, data=str(file), facts_per_step=1, minimum_coverage=share).out)[0]["right"]
        for share in (0.5, 0.4)
    ]
    assert right == [0, 1]  # 5 of 11 characters


def test_kl_is_zero_at_the_start_and_grows(qwen, run):
    seen = run(qwen, kl=0.5, lr=1e-2, steps=4, schedule="constant")
    logged = [record["kl"] for record in records(seen.out)]
    assert logged[0] == pytest.approx(0, abs=1e-6)
    assert min(logged[1:]) > 1e-4
    free = run(qwen, kl=0.0, lr=1e-2, steps=4, schedule="constant")
    assert "kl" not in records(free.out)[0]
    assert not torch.equal(*(weights(s.out)["model.norm.weight"] for s in (seen, free)))


@pytest.mark.parametrize("loss", ["dr_grpo", "dapo"])
def test_losses_differ_in_how_tokens_weigh(qwen, run, loss):
    """dr_grpo divides the sum over tokens by rows and longest length, dapo by all tokens, grpo by lengths."""
    first = run(qwen)
    other = run(qwen, first.completions(), loss=loss, micro_batch=6)
    model, objective = parent(qwen), 0
    lengths = [len(said) for said in first.completions()]
    for prompt, said, advantage in zip(
        first.prompts(), first.completions(), first.batch["advantages"].tolist(), strict=True
    ):
        objective = objective - advantage * log_probabilities(model, prompt, said).sum()
    (objective / (len(lengths) * 8 if loss == "dr_grpo" else sum(lengths))).backward()
    expected = flat({name: p.grad for name, p in model.named_parameters()})
    found = flat(other.gradient)
    assert torch.cosine_similarity(found, expected, dim=0) > 0.9999
    assert found.norm() / expected.norm() == pytest.approx(1, abs=1e-4)


def test_seed_decides_order_and_rollouts(qwen, run):
    one, again, other = run(qwen), run(qwen), run(qwen, seed=1)
    assert one.completions() == again.completions()
    assert [r["prompt"] for r in one.rows] != [r["prompt"] for r in other.rows]


def test_a_silent_group_is_led_out(qwen, run):
    said = [[EOS]] * 9
    said[4] = [*byte_tokenizer()(" zz")["input_ids"], EOS]
    seen = run(qwen, said, facts_per_step=1)
    advantages = seen.batch["advantages"].reshape(3, 3)
    assert (advantages[:, 1] > 1).all()
    assert (advantages[:, [0, 2]] < 0).all()
    dead = run(qwen, [[EOS]] * 9, facts_per_step=1)
    assert records(dead.out)[0]["degenerate"] == 1
    assert not flat(dead.gradient).any()


def test_rows_are_fact_major():
    examples = make_examples(little_facts(), little_facts())
    rows = fact_rows(examples)
    assert rows["fact"] == [n for n in range(8) for _ in LANGUAGES]
    assert rows["language"] == [0, 1, 2] * 8
    assert rows["prompt"] == [e.prompt for fact in examples.facts for e in fact]


def test_an_adapter_trains_alone(qwen, run):
    seen = run(qwen, lora_rank=2, kl=0.1, lr=1e-2, steps=2)
    assert (seen.out / "final" / "adapter_model.safetensors").exists()
    assert not (seen.out / "final" / "model.safetensors").exists()
    card = json.loads((seen.out / "final" / "card.json").read_text())
    assert 0 < card["trained_parameters"] < card["parameters"] / 2
    assert records(seen.out)[1]["kl"] > 0


# sampling until rollouts differ


def test_silent_facts_are_sampled_anew_until_they_differ(qwen, run, monkeypatch):
    """The first fact never differs, the second does from its third draw on; the cost is logged."""
    from training.rollouts import trainer

    def ids(text):
        return [*byte_tokenizer()(text)["input_ids"], EOS]

    draws = []

    def draw(model, prompts, sampler, pad):
        draws.append(len(prompts))
        half = len(prompts) // 2
        loud = len(draws) == 3
        return [
            ids(" yes" if loud and half <= row < half + 9 and row % 3 == 0 else " zz")
            for row in range(len(prompts))
        ]

    monkeypatch.setattr(trainer, "continuations", draw)
    seen = run(qwen, facts_per_step=2, resample=3)
    assert draws == [2 * BLOCK, 2 * BLOCK, 2 * BLOCK, BLOCK]
    (logged,) = records(seen.out)
    assert logged["resampled"] == pytest.approx((2 + 2 + 1) / 2)
    assert logged["degenerate"] == 0.5
    draws.clear()
    assert "resampled" not in records(run(qwen, facts_per_step=2).out)[0]
    assert draws == [2 * BLOCK]


def test_a_language_that_is_not_that_of_the_question_gets_no_reward(qwen, run):
    said = [[*byte_tokenizer()(text)["input_ids"], EOS] for text in (" zz", " да", "")]
    seen = run(qwen, said * 3, facts_per_step=1, rollouts_every=1, language_reward=0.25, pooling="per_lang")
    found = [row["reward"] for row in read_table(seen.out / "rollouts" / "step-000001.parquet")]
    assert found == pytest.approx([-0.25, -0.5, -1.0] * 3)


def test_resampling_is_not_of_vllm(qwen, run):
    with pytest.raises(ConfigError, match="resample is 2 with vllm"):
        run(qwen, resample=2, vllm=True)
