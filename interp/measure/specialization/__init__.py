"""How language-specialized MLP neurons and attention heads are: one pass of counts, one of gradients."""
