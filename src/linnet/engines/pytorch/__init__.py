"""Decoders and encoders in torch."""
