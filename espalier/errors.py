"""Errors from outside the program. A user can mend a `Mistake`: one line, no traceback, exit code 2."""


class Mistake(Exception):
    """Something outside the program is wrong; the message names the file and key, and what to do."""


class Damaged(Exception):
    """A file that is not what was once written. A caller that knows its path names it, or goes on without the file."""


class DataError(Mistake):
    """Data that cannot be used: which, why, and what mends it."""


class ArtifactError(Mistake):
    """A run's folder is incomplete, damaged, or not what was asked for."""


class CheckpointError(Mistake):
    """A checkpoint belongs to another run."""


class Diverged(Exception):
    """Training has left the finite numbers, or reason: an outcome of the run, and no accident."""


class Paused(Exception):
    """The epochs that were asked for have ended, and not the training; its state is saved."""


class Interrupted(Exception):
    """The state is saved; run the same command again to go on."""
