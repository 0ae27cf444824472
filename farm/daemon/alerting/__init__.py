"""Alerts: farmd tells commands and web addresses what happens in the farm (`alerts` in farm.yaml)."""
