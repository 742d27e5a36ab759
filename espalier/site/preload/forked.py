"""The process that is forked for a client and becomes its run."""

import ctypes
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from espalier.site import preload

_READ_WHILE_LOADING = ("LD_", "PYTHON", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_")
_READ_BY_TORCH = ("ATEN_", "CUDA", "NVIDIA_", "PYTORCH_", "TORCH")
_PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl, as sys/prctl.h numbers it."""


def loading(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries read while they are loaded."""
    heads = _READ_WHILE_LOADING + _READ_BY_TORCH
    return {key: value for key, value in environment.items() if key.startswith(heads)}


def refusal(asked: Mapping[str, Any]) -> str | None:
    """Why a client's libraries are not those that are imported here, or None."""
    if asked["python"] != [sys.prefix, sys.version]:
        return f"another Python than that of the process that forks runs, {sys.prefix}"
    theirs, ours = loading(asked["environment"]), loading(os.environ)
    differ = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if not differ:
        return None
    threads = all(key.endswith("_NUM_THREADS") for key in differ)
    return f"another {'number of threads' if threads else ', '.join(differ)} than in the process that forks runs"


def started() -> str | None:
    """Why no GPU can be used in this process, or None: CUDA had started before it was forked.

    No module that is imported for runs starts CUDA; one of another release may.
    """
    torch = sys.modules.get("torch")
    return "CUDA has started in the process that forks runs" if torch and torch.cuda._is_in_bad_fork() else None


def attend(connection: socket.socket, server: int) -> NoReturn:
    """Wait for the request of a client, run its script, and end with its exit code.

    Args:
        server: id of the process that this one was forked from; it tells the client how this one ends
    """
    code: Any = 1
    try:
        # A run of whose end nobody hears might be begun a second time.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == server and (asked := _agreed(connection)):
            _become(asked, connection)
            code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        # Whoever reads them may be gone.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _agreed(connection: socket.socket) -> dict[str, Any] | None:
    """Receive a client's request and take over its standard streams; None if the request is refused or the client is
    gone.
    """
    try:
        connection.send(preload.READY)
        text, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if len(streams) < 3:
            return None
        asked = json.loads(text)
        reason = refusal(asked) or started()
        # Names may hold bytes that are no UTF-8.
        connection.send(reason.encode(errors="replace")[:1024] if reason else preload.TAKEN)
        if reason:
            return None
    except ConnectionError:
        return None
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return asked


def _obey(connection: socket.socket) -> None:
    """Receive the signals of a client, and end with it."""
    with suppress(ConnectionError):
        while received := connection.recv(1):
            signal.pthread_kill(threading.main_thread().ident, received[0])
    os.kill(os.getpid(), signal.SIGKILL)


def _become(asked: dict[str, Any], connection: socket.socket) -> None:
    """Run a script as the client would have."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["words"]
    preload.begin_forked()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in preload.PASSED_ON:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else default)
    threading.Thread(target=_obey, args=(connection,), daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
