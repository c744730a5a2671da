"""Results drawn in the terminal."""
