"""Training beside the measures: it makes checkpoints and cannot see what they are measured with."""
