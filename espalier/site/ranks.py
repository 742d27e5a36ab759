"""The processes that train one network together: which one this is, and what they tell each other.

Every function is for one process too, where it does nothing. Ranks are known without torch, from the environment
that `torchrun`, `accelerate launch` and `espalier.stages.frame.launch` set alike.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.counted import counted
from espalier.errors import Mistake

if TYPE_CHECKING:
    from torch import Tensor, nn

RENDEZVOUS = "ESPALIER_RENDEZVOUS"
"""Environment variable with the file over which the processes of a launcher find each other."""

LOGGED = "ESPALIER_LOGGED"
"""Environment variable that says that stderr reaches the run's log, though by way of another process."""

NOTHING, SAVE, STOP = range(3)
"""What a process wants after a step; the most that any wants is done by all."""

_TIMEOUT = timedelta(minutes=15)
"""Longest wait for another process: it is alive, or its connections would be closed, but may be cutting or saving."""


def launched() -> bool:
    """Whether a launcher has started this process as one of a group."""
    return "RANK" in os.environ


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def main() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def expect(processes: int, batch_size: int) -> None:
    """Refuse settings that do not go with the processes that were started.

    Raises:
        Mistake: there are more or fewer processes than asked for, or more than images in a batch.
    """
    if world() != processes:
        started = counted(world(), "was", "were")
        raise Mistake(f"processes is {processes}, and {started} started: start the script itself, or as many")
    if batch_size < processes:
        raise Mistake(f"batch_size {batch_size} leaves some of {processes} processes without an image; raise it")


def follow_launcher() -> None:
    """End this process when its launcher does, however that ends."""
    if RENDEZVOUS in os.environ:

        def end() -> None:
            # Not by sys.stdin: the thread would still hold its lock when Python exits.
            while os.read(0, 1024):
                pass
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=end, daemon=True).start()


def join(cuda: bool) -> None:
    """Meet the other processes: over NCCL where each has a GPU, and over gloo for what is on the CPU."""
    import torch

    local = int(os.environ.get("LOCAL_RANK", rank()))
    if cuda:
        if local >= torch.cuda.device_count():
            raise Mistake(f"processes: {world()} need a GPU each, and there are {torch.cuda.device_count()} to be seen")
        torch.cuda.set_device(local)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo", rank=rank(), world_size=world(), timeout=_TIMEOUT, **_meeting()
    )


def _meeting() -> dict[str, Any]:
    """Where the processes meet, as `init_process_group` is told it."""
    if RENDEZVOUS not in os.environ:
        return {"init_method": "env://"}
    file = Path(os.environ[RENDEZVOUS])
    if int(os.environ.get("LOCAL_WORLD_SIZE", world())) == world():
        return {"init_method": f"file://{file}"}
    from espalier.site.rendezvous import meet

    return {"store": meet(file, rank(), world(), _TIMEOUT)}


def agree(wish: int) -> int:
    """The greatest wish of all processes, once all have said theirs; waits for no GPU."""
    if world() == 1:
        return wish
    import torch
    from torch import distributed

    said = torch.tensor(wish)
    distributed.all_reduce(said, distributed.ReduceOp.MAX)
    return int(said)


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process through the block before the others."""
    if not main():
        agree(NOTHING)
    yield
    if main():
        agree(NOTHING)


def total(part: "Tensor") -> "Tensor":
    """The sum of every process's `part`, the same bits in each."""
    if world() == 1:
        return part
    from torch import distributed

    whole = part.clone()
    distributed.all_reduce(whole)
    return whole


def gathered(part: "Tensor") -> "Tensor":
    """Every process's `part`, (world, …); the part itself where there is one process."""
    if world() == 1:
        return part
    import torch
    from torch import distributed

    parts = [torch.empty_like(part) for _ in range(world())]
    distributed.all_gather(parts, part)
    return torch.stack(parts)


def own(parts: "Tensor") -> "Tensor":
    """What this process gave to `gathered`."""
    return parts if world() == 1 else parts[rank()].clone()


def share_buffers(model: "nn.Module") -> None:
    """Give every process the main one's buffers, such as BatchNorm's statistics of its shares of the batches."""
    if world() == 1:
        return
    from torch import distributed

    for buffer in model.buffers():
        distributed.broadcast(buffer, 0)


def tells(message: str) -> bool:
    """Whether no other process that this machine's launcher has started told the same before."""
    if RENDEZVOUS not in os.environ:
        return True
    try:
        name = f"told-{hashlib.sha256(message.encode()).hexdigest()}"
        Path(os.environ[RENDEZVOUS]).with_name(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def lost(error: BaseException) -> bool:
    """Whether an error says no more than that another process has ended."""
    text = str(error)
    return world() > 1 and isinstance(error, RuntimeError) and ("by peer" in text or "Broken pipe" in text)
