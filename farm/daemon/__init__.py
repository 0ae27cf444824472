"""farmd: watches the farm, remembers, and answers."""
