"""Identities: what may not stand in a header or a name; shared by checks and stages."""
