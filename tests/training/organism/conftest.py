import pytest

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
