"""Linear probes and alignment: what is linearly readable at each layer, and whether translations meet."""
