"""One server turns a room of PCs into a diskless compile cluster."""
