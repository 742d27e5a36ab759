"""One log for a run: `run.log` beside its outputs, and stderr."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from espalier.errors import Interrupted, Mistake
from espalier.runs.interruption import STOPPED
from espalier.site import fail_fast, ranks

log = logging.getLogger("espalier")


class Beats(Protocol):
    """What tells other programs of the end of a run."""

    def beat(self, state: str, **facts: str | None) -> None: ...


@contextmanager
def recording(folder: Path, heartbeat: Beats | None = None) -> Iterator[logging.Logger]:
    """Log to `run.log` in `folder` and to stderr; end the process with an exit code that says how the block ended.

    0: done. 2: a mistake the user can mend, told in one line. 75: interrupted, the state is saved. 130: Ctrl-C.
    1: anything else, with its traceback in the log. A terminal shows the bar instead of the plain lines.
    Of several processes the main one tells all, and each of the others why it failed.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    who = "" if ranks.main() else f"rank {ranks.rank()}: "
    handlers = [logging.StreamHandler()]
    if not (ranks.LOGGED in os.environ or _stderr_is(Path(folder) / "run.log")):
        handlers.append(logging.FileHandler(Path(folder) / "run.log"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {who}%(message)s", "%Y-%m-%d %H:%M:%S"))
        handler.setLevel(logging.NOTSET if ranks.main() else logging.ERROR)
        log.addHandler(handler)
    if sys.stderr.isatty() and ranks.main():
        handlers[0].setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(handlers[-1])
    try:
        yield log
    except BaseException as error:
        code, state = _end(error)
        if heartbeat:
            heartbeat.beat(state, mistake=str(error) if isinstance(error, Mistake) else None)
            if state == "failed" and ranks.main():
                fail_fast.ended(f"{type(error).__name__}: {error}")
        raise SystemExit(code) from None
    finally:
        log.propagate = True
        logging.captureWarnings(False)
        for handler in handlers:
            log.removeHandler(handler)
            logging.getLogger("py.warnings").removeHandler(handler)
            handler.close()


def _stderr_is(path: Path) -> bool:
    """Whether a shell has already sent stderr to `path`, where a second writer would overwrite the first."""
    try:
        return os.path.samestat(os.fstat(sys.stderr.fileno()), path.stat())
    except (OSError, ValueError):
        return False


def _end(error: BaseException) -> tuple[int, str]:
    """Log how a block ended; the exit code and the heartbeat's state that tell of it."""
    if isinstance(error, Interrupted):
        log.warning("%s. Run the same command again to go on", error)
        return STOPPED, "requeue"
    if isinstance(error, KeyboardInterrupt):
        log.warning("interrupted from the keyboard")
        return 130, "requeue"
    if isinstance(error, Mistake):
        if ranks.tells(str(error)):
            log.error("%s", error)
        return 2, "failed"
    if ranks.lost(error):
        log.error("another process of this run has ended, and so must this one")
        return 1, "failed"
    log.error("%s: %s", type(error).__name__, error, exc_info=error)
    return 1, "failed"
