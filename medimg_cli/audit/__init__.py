"""What may be wrong with a data set: findings, the checks that find them, and what is decided about each."""
