"""Log-in on a thin client: PAM asks the server by ssh, and one ssh connection carries the whole desktop session."""
