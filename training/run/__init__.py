"""A run of any method: folder, steps with metrics and guards, evaluations, result."""
