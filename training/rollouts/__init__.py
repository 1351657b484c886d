"""Rollouts of GRPO: whole facts in, completions judged and pooled, rows of similar length together."""
