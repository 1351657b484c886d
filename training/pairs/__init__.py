"""Preference pairs: sampled answers, a vote over entities, and files of pairs to read and edit."""
