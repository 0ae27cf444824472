"""A farm comes up, changes while it is up, and goes down: what is served, and whether it is."""
