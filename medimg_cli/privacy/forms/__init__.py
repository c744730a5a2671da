"""Identities recognised by their form: in names, numbers, dates and cells."""
