"""Training of checkpoints; it cannot import what they are measured with."""
