"""Whether heat maps are of what a network learnt: its maps beside those of its weights shuffled."""
