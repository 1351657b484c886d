"""A run of any method: its folder, its steps with metrics and guards, its evaluations, and what it ends with."""
