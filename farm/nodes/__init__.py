"""Actions on nodes: power, ssh, blocking, draining."""
