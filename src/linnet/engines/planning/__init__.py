"""What this machine is and how fast, and what a model will take on it."""
