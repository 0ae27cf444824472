"""farmd: watches the farm, records what happens, and serves it."""
