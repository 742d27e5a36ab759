"""Espalier: small vision networks trained, pruned, quantized and coded on a grid of experiments."""
