"""Numbers that judge a model, from arrays alone. Knows no model, no file, no task."""
