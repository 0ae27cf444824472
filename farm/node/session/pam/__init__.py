"""A log-in: PAM asks the servers of lts.conf in turn, and lets in whom one of them takes."""
