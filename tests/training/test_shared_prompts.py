"""Prompts computed once in a loss: values, gradients and metrics of one row after the other, or a reason."""

from __future__ import annotations

import logging

import pytest
import torch

from interp.model import vocabulary
from interp.model.generation import Sampler
from interp.model.prefixes import PromptCache
from tests.support.extras import needed
from tests.support.tiny import byte_tokenizer, tiny_model
from tests.support.training_runs import little_facts

needed("trl")
from peft import LoraConfig, get_peft_model  # noqa: E402
from trl import GRPOConfig  # noqa: E402

from training import shared_prompts  # noqa: E402
from training.examples import make_examples  # noqa: E402
from training.methods import GrpoConfig  # noqa: E402
from training.plan.batches import plan_batches  # noqa: E402
from training.rollouts import trainer as rollouts  # noqa: E402
from training.rollouts.pool import RewardRule  # noqa: E402
from training.run.arguments import trainer_arguments  # noqa: E402
from training.shared_prompts import share_prompts  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
NAMES = ("log_probs", "entropy", "mean_logits")
SHAPES = {
    "llama": {},
    "qwen2": {},
    "olmo2": {},
    "gemma2": {"sliding_window": 8},  # shorter than most prompts
    "gemma3_text": {"sliding_window": 8},
}
WIDER = {
    "mistral": {"sliding_window": 8},
    "cohere2": {"sliding_window": 8},
    "gpt_oss": {"sliding_window": 8},
} | {name: {} for name in ("qwen3", "phi3", "gpt2", "bloom", "opt", "gpt_neox", "mixtral", "qwen3_moe")}
ROWS = [  # prompt, answer: a group of four with two alike, a cut group, answers of 0 and 1 tokens
    (tuple(range(20, 26)), (7, 8, 9)),
    (tuple(range(20, 26)), (7, 5)),
    (tuple(range(20, 26)), (7, 8, 9)),
    (tuple(range(20, 26)), (6,)),
    ((40, 41), (3, 4, 5, 6, 7)),
    (tuple(range(60, 76)), (9,)),
    (tuple(range(60, 76)), ()),
    (tuple(range(60, 76)), (1, 2, 1, 2)),
]


def batch(rows=ROWS, side="left") -> dict[str, torch.Tensor]:
    """Prompts padded on a side, answers on the right."""
    wide, long = max(len(p) for p, _ in rows), max(len(a) for _, a in rows)
    ids, mask, labels = [], [], []
    for prompt, answer in rows:
        before = wide - len(prompt) if side == "left" else 0
        after = wide + long - before - len(prompt) - len(answer)
        ids.append([0] * before + [*prompt, *answer] + [0] * after)
        mask.append([0] * before + [1] * len(prompt + answer) + [0] * after)
        labels.append([-100] * (before + len(prompt)) + list(answer) + [-100] * after)
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": torch.tensor(mask),
        "labels": torch.tensor(labels),
    }


def alone(model, rows=ROWS, temperature=1.0) -> dict[str, torch.Tensor]:
    """What is scored, one row at a time and without padding, in the order of the rows."""
    found = {name: [] for name in (*NAMES, "is_top1")}
    for prompt, answer in rows:
        if not answer:
            continue
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float() / temperature
        logps, told = logits.log_softmax(-1), torch.tensor(answer)
        found["log_probs"].append(logps[torch.arange(len(told)), told])
        found["entropy"].append(-(logps.exp() * logps).sum(-1))
        found["mean_logits"].append(logits.mean(-1))
        found["is_top1"].append(logits.argmax(-1) == told)
    return {name: torch.cat(values) for name, values in found.items()}


def trained(family: str, **changes):
    return tiny_model(family, **changes).requires_grad_(True)


def gradients(model, logps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a weighted sum."""
    model.zero_grad()
    weights = torch.randn(len(logps), generator=torch.Generator().manual_seed(0))
    (logps * weights).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(value.abs().max() for value in expected.values())
    assert largest > 1e-2
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-5 * largest, name


@pytest.fixture(params=["at once", "in pieces"])
def pieces(request, monkeypatch):
    """With all logits at once, and three tokens at a time."""
    if request.param == "in pieces":
        monkeypatch.setattr(vocabulary, "LOGITS_AT_A_TIME", 3 * 259)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", SHAPES)
def test_values_and_gradients_are_those_of_each_row_alone(family, side):
    model = trained(family, **SHAPES[family])
    expected = alone(model, temperature=0.7)
    gradient = gradients(model, expected["log_probs"])
    share_prompts(model, 0.7)
    assert model._shared_prompts.refused == ""
    rows = batch(side=side)
    out = model(**rows, fused_lm_head=True)
    told = rows["labels"][:, 1:] != -100
    for name in NAMES:
        assert (getattr(out, name)[told] - expected[name]).abs().max() < 1e-5, name
        assert not getattr(out, name)[~told].any()
    assert torch.equal(out.is_top1[told], expected["is_top1"])
    assert_same(gradients(model, out.log_probs[told]), gradient)


@pytest.mark.parametrize("family", WIDER)
def test_other_decoders_share_too(family):
    model = trained(family, **WIDER[family])
    expected = alone(model)["log_probs"]
    gradient = gradients(model, expected)
    share_prompts(model)
    assert model._shared_prompts.refused == ""
    rows = batch()
    found = model(**rows, fused_lm_head=True).log_probs[rows["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5
    assert_same(gradients(model, found), gradient)


@pytest.mark.usefixtures("pieces")
def test_an_adapter_and_its_base():
    base = tiny_model("qwen2")
    expected_base = alone(base)["log_probs"]
    model = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    expected = alone(model)["log_probs"]
    gradient = gradients(model, expected)
    share_prompts(model)
    rows = batch()
    told = rows["labels"][:, 1:] != -100
    assert_same(gradients(model, model(**rows, fused_lm_head=True).log_probs[told]), gradient)
    with model.disable_adapter(), torch.no_grad():
        off = model(**rows, fused_lm_head=True).log_probs[told]
    assert (off - expected_base).abs().max() < 1e-5
    assert (off - expected).abs().max() > 1e-2


def test_demonstrations_are_computed_once(monkeypatch):
    """Two levels: a beginning that prompts share, the prompts, the answers."""
    shown = tuple(range(100, 130))
    rows = [(shown + prompt, answer) for prompt, answer in ROWS]
    rows += [((*range(140, 170), n), (n, 2)) for n in range(3)]
    model = trained("gemma3_text", sliding_window=512)
    expected = alone(model, rows)["log_probs"]
    gradient = gradients(model, expected)
    share_prompts(model)
    read = []
    body = model.get_decoder()
    body.register_forward_pre_hook(
        lambda module, args, given: read.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    given = batch(rows)
    found = model(**given, fused_lm_head=True).log_probs[given["labels"][:, 1:] != -100]
    assert read == [30, 16, 4]  # beginnings, the longest end, all but the last token of an answer
    assert (found - expected).abs().max() < 1e-5
    assert_same(gradients(model, found), gradient)


def test_beyond_a_window_beginnings_stay_with_their_prompts():
    rows = [(tuple(range(100, 130)) + prompt, answer) for prompt, answer in ROWS]
    model = trained("gemma2", sliding_window=40)  # longer than a beginning, not than it with its ends
    expected = alone(model, rows)["log_probs"]
    share_prompts(model)
    given = batch(rows)
    found = model(**given, fused_lm_head=True).log_probs[given["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5


# a wrong cache


def other_prompt(self, owners):
    """Rows with the keys and values of the next prompt."""
    plain = PromptCache.plain_rows(self, owners)
    for layer in plain.cache.layers:
        layer.keys = layer.keys.roll(1, 0)
    return plain


def test_keys_of_another_prompt_are_noticed(monkeypatch):
    """The comparison of the tests above, and the trial that every model goes through."""
    model = trained("qwen2")
    expected = alone(model)["log_probs"]
    share_prompts(model)
    monkeypatch.setattr(PromptCache, "plain_rows", PromptCache.rows, raising=False)
    monkeypatch.setattr(PromptCache, "rows", other_prompt)
    rows = batch()
    found = model(**rows, fused_lm_head=True).log_probs[rows["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() > 1e-2
    again = trained("qwen2")
    share_prompts(again)
    assert "differ by" in again._shared_prompts.refused
    found = again(**rows, fused_lm_head=True).log_probs[rows["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5


# what cannot be shared


def test_recomputed_activations_fall_back_and_say_so_once(caplog):
    model = trained("llama").train()
    expected = alone(model)["log_probs"]
    share_prompts(model)
    model._activation_checkpointing_enable({"use_reentrant": False})
    rows = batch()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = model(**rows, fused_lm_head=True).log_probs[rows["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5
    found.sum().backward()
    assert [record.getMessage() for record in caplog.records] == [
        "Prompts are computed once per answer: activations are recomputed (checkpointing), which switches "
        "the cache off."
    ]


def test_a_model_without_a_cache_that_can_be_repeated_falls_back(caplog):
    model = trained("qwen2")
    expected = alone(model)["log_probs"]
    body = model.get_decoder()
    plain = body.forward
    body.forward = lambda *args, **given: plain(*args, **given | {"use_cache": False})
    share_prompts(model)
    rows = batch()
    with caplog.at_level(logging.WARNING):
        found = model(**rows, fused_lm_head=True).log_probs[rows["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5
    assert [record.getMessage() for record in caplog.records] == [
        "Prompts are computed once per answer: the cache of 'qwen2' cannot be repeated."
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [((1, 2, 3), (4, 5)), ((2, 3), (6,))],  # one answer each
        [((1, 2, 3), (4,)), ((1, 2, 3), (5,)), ((2, 3), (5,))],  # one token each
        [((1,), (4, 2)), ((1,), (5, 1))],
        [((1, 2), ()), ((1, 2), ()), ((3, 4, 5), (6,))],
    ],
)
def test_short_and_single_answers(rows):
    model = trained("qwen2")
    expected = alone(model, rows)["log_probs"]
    gradient = gradients(model, expected)
    share_prompts(model)
    given = batch(rows)
    found = model(**given, fused_lm_head=True).log_probs[given["labels"][:, 1:] != -100]
    assert (found - expected).abs().max() < 1e-5
    assert_same(gradients(model, found), gradient)


def test_a_batch_without_any_answer_has_a_gradient_of_zero():
    model = trained("qwen2")
    share_prompts(model)
    out = model(**batch([((1, 2), ()), ((1, 2), ())]), fused_lm_head=True)
    out.log_probs.sum().backward()
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)
    assert model.get_input_embeddings().weight.grad is not None


# the loss of GRPO


def grpo_trainer(folder, model, adapter=None):
    facts = little_facts(2, 0)
    return rollouts.PooledGRPOTrainer(
        examples=make_examples(facts, facts),
        rule=RewardRule(GrpoConfig()),
        sampler=Sampler(4, ()),
        model=model,
        processing_class=byte_tokenizer(),
        peft_config=adapter,
        args=trainer_arguments(
            GrpoConfig(out=folder, device="cpu"),
            GRPOConfig,
            plan_batches(2, 2, 12, micro_batch=12),
            num_generations=4,
            max_completion_length=5,
            loss_type="grpo",
            beta=0.3 if adapter else 0.0,
            disable_dropout=True,
        ),
    )


def loss_of(trainer) -> tuple[float, dict[str, float], dict[str, torch.Tensor]]:
    """Loss, metrics and gradient of rows whose old probabilities make the ratios clip."""
    given, model = batch(ROWS[:6] + ROWS[7:]), trainer.model
    width = max(len(p) for p, _ in ROWS)
    ids, mask = given["input_ids"], given["attention_mask"]
    keep = ids.shape[1] - width
    with torch.no_grad():
        now, *_ = trainer._get_per_token_logps_and_entropies(model, ids, mask, keep, batch_size=3)
        shift = torch.linspace(-0.5, 0.5, now.numel()).reshape(now.shape)
        rows = {
            "prompt_ids": ids[:, :width],
            "prompt_mask": mask[:, :width],
            "completion_ids": ids[:, width:],
            "completion_mask": mask[:, width:],
            "advantages": torch.linspace(-1, 1, len(ids)),
            "old_per_token_logps": now - shift,
        }
        if trainer.beta:
            with model.disable_adapter():
                rows["ref_per_token_logps"], *_ = trainer._get_per_token_logps_and_entropies(
                    model, ids, mask, keep, batch_size=12
                )
    trainer.current_gradient_accumulation_steps = 1
    model.train()
    trainer._metrics["train"].clear()
    loss = trainer._compute_loss(model, rows)
    loss.backward()
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
    return loss.item(), metrics, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("family", SHAPES)
def test_loss_metrics_and_gradient_are_those_of_trl(family, adapter, tmp_path, monkeypatch):
    def run(folder, **changes):
        lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False) if adapter else None
        torch.manual_seed(0)
        return loss_of(grpo_trainer(folder, trained(family, **SHAPES[family]), lora))

    loss, metrics, gradient = run(tmp_path / "shared")
    monkeypatch.setattr(rollouts, "share_prompts", lambda *_: None)
    plain_loss, plain_metrics, plain_gradient = run(tmp_path / "plain")
    assert loss == pytest.approx(plain_loss, abs=1e-5)
    assert metrics == pytest.approx(plain_metrics, abs=1e-5)
    assert 0 < metrics["clip_ratio/low_mean"] + metrics["clip_ratio/high_mean"] < 1
    assert ("kl" in metrics) == adapter
    assert_same(gradient, plain_gradient)


def test_the_forward_of_trl_is_what_is_replaced():
    """A contract: were TRL to call its fused unembedding another way, prompts would silently be repeated."""
    import inspect

    from trl import DPOTrainer, GRPOTrainer

    for method in (
        GRPOTrainer._get_per_token_logps_and_entropies,
        DPOTrainer._compute_loss,
        DPOTrainer.compute_ref_log_probs,
    ):
        assert "labels=labels, fused_lm_head=True" in inspect.getsource(method)
    assert shared_prompts.FusedCausalLMOutput.__name__ == "FusedCausalLMOutput"
