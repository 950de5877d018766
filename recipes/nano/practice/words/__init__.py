"""Word lists of our own making, each cut in a train and a test side."""
