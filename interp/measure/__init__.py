"""What is measured: one torch pass over the prompts keeps sufficient statistics, scored in interp.results."""
