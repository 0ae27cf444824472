"""What this computer is to thin clients: the sessions that it offers, and its sshd's settings for them."""
