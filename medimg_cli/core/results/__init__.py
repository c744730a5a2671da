"""What an evaluation is made of: one file per kind of result, each with its numbers and nothing computed."""
