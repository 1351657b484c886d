"""A small multilingual model trained from scratch on the embedded facts, with known exposure per language."""
