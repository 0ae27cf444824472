"""What the server tells a machine to do at its screen: show a message, or end the session."""
