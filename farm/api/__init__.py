"""farmd's API: the records of its answers, and its client."""
