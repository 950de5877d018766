"""Records, store, settings, errors, events: what every other room stands on. Knows nothing of models."""
