"""Which units carry each answer in each language, and how far languages share them."""
