"""Views of a farm: records made from the state, the same for scripts, dashboard and API."""
