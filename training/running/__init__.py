"""What every training method shares: where it starts, its batches, its records, its evaluation and its card."""
