"""Search: which runs of a grid are trained to the end, and what that is decided by."""
