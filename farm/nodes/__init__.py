"""What is done to nodes: power, ssh, blocking, draining."""
