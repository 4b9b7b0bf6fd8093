"""From frames to files, and into the host's result."""
