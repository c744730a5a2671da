"""The nouns every stage shares: what is on disk, and what it means. Never imports torch, rich or typer."""
