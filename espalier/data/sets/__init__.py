"""Data sets, one a file; each function reads its source and returns all images with their splits."""
