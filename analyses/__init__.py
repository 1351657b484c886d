"""What is concluded: noise floors, comparisons of checkpoints, and studies that run them."""
