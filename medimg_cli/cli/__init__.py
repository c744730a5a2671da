"""The door: one thin file per command parses, calls one stage and renders. Stages are imported in bodies."""
