"""Runs that find torch imported: forked by one process that imported it, instead of importing it each for itself.

A run of seconds spends half of them on `import torch`. Snakemake starts the `server`, which lives as long as it does;
a run's own process is then the `client` of a `forked` one. Results are the same bits; what differs is the start.
"""

import signal

SOCKET = "ESPALIER_PRELOAD"
"""Environment variable with the path of the server's socket; without it every run imports for itself."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a scheduler may send to all processes of a job; a server ignores them, and its runs do not."""


def preloaded() -> bool:
    """Whether this process was forked where torch was imported already: its times leave that import out."""
    from multiprocessing import parent_process

    return parent_process() is not None
