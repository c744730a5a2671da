"""Labels that are likely wrong: confident learning and agreement of readers."""
