"""ssh's command lines of a log-in, and running them with the questions answered."""
