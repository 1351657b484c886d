"""Activation patching: pairs of prompts, patched forward passes, and gradient estimates of them."""
