import pytest
import torch

from interp.data.sources.cldr import cldr_facts
from training.organism.recipe import OrganismConfig

LANGUAGES = ("en", "sw", "zh")


@pytest.fixture(scope="session")
def facts():
    return cldr_facts().filter(languages=OrganismConfig().languages)


@pytest.fixture(scope="session")
def few():
    """Forty facts of all splits in three languages."""
    return cldr_facts().filter(languages=LANGUAGES, limit=40)


@pytest.fixture(scope="session")
def toy():
    """A recipe that runs in a second."""
    return OrganismConfig(
        languages=LANGUAGES,
        steps=6,
        early_step=2,
        warmup=1,
        batch_size=8,
        vocab_size=600,
        layers=1,
        hidden=32,
        intermediate=16,
        context=200,
    )


@pytest.fixture(autouse=True)
def _same_threads():
    """Two runs are compared to the bit, so they must not share out their sums differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
