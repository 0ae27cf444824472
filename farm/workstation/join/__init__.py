"""Joining a farm and leaving it."""
