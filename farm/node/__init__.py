"""What runs on a node. Imports only the standard library, psutil and zeroconf."""

VERSION = "0.1.0"
"""The project's version: the distribution's metadata is not on a node."""
