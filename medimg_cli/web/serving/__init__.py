"""The upload page and its API: what a server needs around a model that answers."""
