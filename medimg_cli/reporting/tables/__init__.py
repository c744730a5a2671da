"""Rows and cells of the report's tables."""
