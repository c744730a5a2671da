"""Metrics with intervals, analyses, comparisons and subgroups."""
