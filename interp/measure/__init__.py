"""What is measured: one torch pass over the prompts keeps sufficient statistics; scores are defined in interp.results."""
