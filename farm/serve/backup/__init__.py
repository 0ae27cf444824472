"""Backup and restore of a server: one file with all that a farm needs and its disk alone has (docs/server.md)."""
