"""The environment of a build."""
