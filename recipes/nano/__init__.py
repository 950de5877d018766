"""The recipe of our own small decoder."""
