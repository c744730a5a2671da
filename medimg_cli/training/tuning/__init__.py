"""Trials of settings, for `medimg tune`."""
