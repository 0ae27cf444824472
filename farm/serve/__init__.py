"""Bringing a farm up, changing it while it is up, taking it down, and checking that its services answer."""
