"""Watching a farm: the sources, the events that they make, and the state that events change."""
