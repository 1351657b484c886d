"""A small multilingual model trained from scratch on the embedded facts, of which is known who reads what."""
