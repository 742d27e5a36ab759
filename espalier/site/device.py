"""The device, its arithmetic and its threads, set before the first tensor is made."""

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.seeding import key
from espalier.site import ranks
from espalier.site.pilot.board import board

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

DRIVER = Path("/proc/driver/nvidia/version")
"""Where Linux tells the version of NVIDIA's driver."""

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Variables of glibc, read when a process starts: freed tensors stay in the process, where glibc would return them to
the kernel and fault them in again. A training step frees and allocates the same megabytes over and over: on a CPU this
is a fifth to a third of the time of a small network's step."""


def prepare(deterministic: bool = True) -> int:
    """Set threads, determinism and full precision; return the threads. Call it before anything else uses torch.

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
    # This sets the same switch as use_deterministic_algorithms, which would also import the compiler.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    _round(False)
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

    settings: dict[str, Any] = {"mixed_precision": {"fp32": "no", "tf32": "no"}.get(precision, precision)}
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
        accelerator = Accelerator(**settings)
    except ValueError as error:
        raise Mistake(f"train.precision: {precision} does not work on this device ({error}); use fp32") from error
    if precision == "tf32":
        if not _rounds(accelerator.device):
            why = f"{name(accelerator.device)} has no TF32"
            raise Mistake(f"train.precision: tf32 does not work on this device ({why}); use fp32")
        _round(True)
    return accelerator


def _rounds(device: "torch.device") -> bool:
    """Whether a device has TF32: GPUs of NVIDIA have it from Ampere on."""
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _round(tf32: bool) -> None:
    """Whether a GPU may round the factors of products of fp32 to TF32; torch by itself lets it, in convolutions."""
    import torch

    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32


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


def gpu(device: "torch.device") -> dict[str, Any] | None:
    """The software of a GPU on which its results may depend, and its arithmetic, for a record; None of no CUDA GPU."""
    import torch

    if device.type != "cuda":
        return None
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _driver(),
        "tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def _driver() -> str | None:
    """The version of NVIDIA's driver, None where the kernel does not tell it."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", DRIVER.read_text())
    except OSError:
        return None
    return found and found[1]


def name(device: "torch.device") -> str:
    """What the device is, for a record."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
