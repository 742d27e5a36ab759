"""Figures a study may ask for, one family a file. Beside each stands `caption`, with the same settings."""
