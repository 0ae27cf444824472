"""Where compiler calls ran, and why."""
