"""Preference pairs: answers are sampled, entities are voted on, and pairs are a file to look at before training."""
