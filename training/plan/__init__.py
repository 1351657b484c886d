"""Plans of a run: how the rows of a step are divided, and how much memory that needs."""
