"""The device, its arithmetic and its threads, set before the first tensor is made."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.seeding import key
from espalier.site import ranks
from espalier.site.pilot.board import board

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Variables of glibc, read when a process starts: freed tensors stay in the process, where glibc would return them to
the kernel and fault them in again. A training step frees and allocates the same megabytes over and over: on a CPU this
is a fifth to a third of the time of a small network's step."""


def prepare(deterministic: bool = True) -> int:
    """Set threads and determinism, and return the number of threads; call it before anything else uses torch.

    Snakemake and SLURM state a job's cores as OMP_NUM_THREADS, which torch follows; otherwise the cores that
    this process may run on are used. A pilot gives each of its runs the same share, and a GPU.
    """
    # Before CUDA starts; a launcher has it for the processes of its group.
    share = None if ranks.launched() else board()
    # cuBLAS reads this once, when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if share or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(share or cores())
    # The same switch as use_deterministic_algorithms, which imports the compiler to tell it too.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    # A debugging aid that comes with the above: it fills every new tensor with NaN, an operation each.
    torch.utils.deterministic.fill_uninitialized_memory = False
    return torch.get_num_threads()


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def accelerate(precision: str = "fp32") -> "Accelerator":
    """Accelerate's view of this process: device, precision, rank and world, once all processes have met.

    Raises:
        Mistake: the device cannot do the precision, or there are fewer GPUs than processes.
    """
    from accelerate import Accelerator

    settings: dict[str, Any] = {"mixed_precision": {"fp32": "no"}.get(precision, precision)}
    if ranks.world() > 1:
        import torch
        from accelerate.utils import DistributedDataParallelKwargs

        cuda = torch.cuda.is_available()
        ranks.join(cuda)
        # Statistics are shared where they are read, not before every step. The newer word for it, which torch 2.13
        # recommends, is unknown to 2.11 and to Accelerate.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        settings |= {"cpu": not cuda, "kwargs_handlers": [DistributedDataParallelKwargs(broadcast_buffers=False)]}
    try:
        return Accelerator(**settings)
    except ValueError as error:
        raise Mistake(f"train.precision: {precision} does not work on this device ({error}); use fp32") from error


def seed(device: "torch.device", *words: int | str) -> None:
    """Seed the default generator of the CPU and of `device` with the key of `words`, without a host sync."""
    import torch

    value = key(*words)
    # Not torch.manual_seed: it formats a stack trace on every call while CUDA has not started.
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        # There are no generators before CUDA has started, as it does to know its current device.
        current = torch.cuda.current_device()
        torch.cuda.default_generators[current].manual_seed(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)


def exact(device: "torch.device") -> "torch.dtype":
    """The widest float of a device, in which sums over an epoch are kept."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def peak_memory_mib(device: "torch.device") -> float:
    """The most memory used at once so far: of the GPU where there is one, else of this process."""
    import resource
    import sys

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def choose() -> "torch.device":
    """The device that Accelerate would choose for this process."""
    from accelerate import PartialState

    return PartialState().device


def name(device: "torch.device") -> str:
    """What the device is, for a record."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
