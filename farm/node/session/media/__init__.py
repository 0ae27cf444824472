"""USB sticks and discs at this machine: each is shared with the session, and with nothing else in view."""
