"""Exports of a root file system to nodes."""
