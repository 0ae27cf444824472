"""What runs on a node. Imports only the standard library, psutil and zeroconf."""
