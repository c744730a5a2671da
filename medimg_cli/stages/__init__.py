"""The verbs: plain functions of typed arguments, usable from a notebook; none imports another."""
