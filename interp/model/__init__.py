"""What is opened: checkpoints, tokens, sites and hooks (the only package beside measure that needs torch)."""
