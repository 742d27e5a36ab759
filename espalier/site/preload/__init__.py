"""Runs that find torch imported: forked by one process that imported it, instead of importing it each for itself.

A run of seconds spends half of them on `import torch`. Snakemake starts the `server`, which lives as long as it does;
a run's own process is then the `client` of a `forked` one. Weights and scores have the same bits; what differs is the
time to start, and the memory that is counted as the run's own. Linux alone.

They talk over a socket that keeps messages apart (SOCK_SEQPACKET; an empty one means that the other side is gone). The
forked process says READY, the client sends what it asks for and its three open streams, and is answered with TAKEN or
why not. Then it sends the signals that it receives, and at the end the server tells it the exit code.
"""

import signal

SOCKET = "ESPALIER_PRELOAD"
"""Environment variable with the path of the server's socket; without it every run imports for itself."""

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a client passes on to its forked process. A scheduler may send them to all processes of a job: the
server ignores them."""

READY, TAKEN = b"ready", b"taken"

_forked = False


def begin_forked() -> None:
    """Note that this process was forked."""
    global _forked
    _forked = True


def preloaded() -> bool:
    """Whether this process was forked where torch was imported already: its times leave that import out."""
    return _forked
