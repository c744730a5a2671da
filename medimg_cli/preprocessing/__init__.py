"""The recipe, the pixel cache and the automatic choices; no torch."""
