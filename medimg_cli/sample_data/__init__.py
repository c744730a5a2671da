"""Drawn cohorts and public data sets."""
