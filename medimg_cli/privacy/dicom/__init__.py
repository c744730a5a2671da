"""Identities in DICOM headers: which attributes, what they say, and where else it stands."""
