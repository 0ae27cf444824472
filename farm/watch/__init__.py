"""What is known of a farm: the sources that see, the events that they make, and the state that events change."""
