"""Printers at this machine: each at a TCP port that only the servers reach."""
