"""How Linnet's own small models are made."""
