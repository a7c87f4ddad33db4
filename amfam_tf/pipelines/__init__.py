"""The pipelines by name, to be called from Python: thin, each module names the room that wires it and does the work."""
