"""From source folders to the rows of the manifest."""
