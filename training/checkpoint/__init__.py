"""Checkpoints of a run: the parent that it starts from, the adapter, the final weights and their card."""
