"""Typed results of an evaluation, as they stand in its JSON file."""
