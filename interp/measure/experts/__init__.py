"""Routers of mixtures of experts, per language."""
