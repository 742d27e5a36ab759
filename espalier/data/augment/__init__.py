"""Augmentations, one family of operations a file."""
