"""Whether labels are right: what looks say against them, and how far readers agree."""
