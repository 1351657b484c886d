import pytest

from interp.errors import ConfigError, DataError
from training.organism.recipe import OrganismConfig


def test_learning_rate_warms_up_and_falls_to_zero():
    recipe = OrganismConfig(steps=1000, early_step=10, warmup=100, lr=1e-2)
    assert recipe.rate(0) == pytest.approx(1e-4)
    assert recipe.rate(99) == pytest.approx(1e-2)
    assert recipe.rate(550) == pytest.approx(5e-3)
    assert recipe.rate(999) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"early_step": 9, "steps": 9}, r"early_step is 9; use 1 to 8"),
        ({"share_seen": 1.5}, r"share_seen is 1\.5"),
        ({"lexicon_share": 1.0}, r"lexicon_share is 1\.0"),
        ({"anchor": "ko"}, r"anchor 'ko' is none of en de"),
        ({"languages": ("en", "ko")}, r"\['ko'\] have no label in the lexicon"),
        ({"languages": ("en",)}, r"languages has one entry"),
        ({"heads": 3}, r"hidden 128, heads 3, kv_heads 2"),
        ({"vocab_size": 200}, r"vocab_size is 200"),
        ({"lr": 0.0}, r"lr and batch_size"),
        ({"held_out_split": "none"}, r"held_out_split is none of train"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        OrganismConfig(**changes)


def test_a_language_named_twice_is_refused():
    with pytest.raises(DataError, match="more than once"):
        OrganismConfig(languages=("en", "de", "en"))
