"""Real models, opt-in: ``pytest -m real tests/real``."""
