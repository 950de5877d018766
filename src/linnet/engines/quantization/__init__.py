"""Weights in fewer bits: kernels, mixtures, importance, the search for the best mixture, gates."""
