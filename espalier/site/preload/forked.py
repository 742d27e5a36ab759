"""The process that a run is forked into."""

import ctypes
import os
import runpy
import signal
import sys
import traceback
from typing import Any, NoReturn

from espalier.site import preload
from espalier.site.preload.message import STREAMS

_PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl, as sys/prctl.h numbers it."""


def become(asked: dict[str, Any], streams: list[int], server: int) -> NoReturn:
    """Run a script as the client would have; signals are blocked until what they do is what they did there.

    Args:
        asked: the client's words, folder, environment and ignored signals
        streams: open files for standard input, output and errors
        server: id of the process that this one was forked from
    """
    code = 1
    try:
        # The server tells the client how a run ended; without it, a second run might be started beside this one.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        for number, stream in zip(STREAMS, streams, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        sys.argv = asked["words"]
        preload.begin_forked()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in preload.PASSED_ON:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else default)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, preload.PASSED_ON)
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
