"""The network of a run with all that is needed to use it: saving, loading, starting weights, what a chain made."""
