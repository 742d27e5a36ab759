"""Espalier: small vision networks trained, pruned, quantized and coded on a grid of experiments."""

__version__ = "0.1.0"
