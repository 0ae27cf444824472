"""What farmd answers, and asking it: the records of its API, and its client."""
