"""Networks, one family a file, self-contained."""
