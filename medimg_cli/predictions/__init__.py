"""Rows and tables of predictions, operating points, decisions."""
