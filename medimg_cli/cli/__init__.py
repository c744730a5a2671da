"""One thin file per command: it parses, calls one stage and renders. Stages are imported in bodies."""
