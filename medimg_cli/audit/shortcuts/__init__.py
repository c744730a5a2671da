"""Properties of files and columns that give a label away."""
