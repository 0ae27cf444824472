"""A session that runs on this machine itself: the user's account and home are the server's."""
