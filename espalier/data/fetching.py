"""Images that a GPU's memory has no room for: they stay on the host, and what is used next is fetched ahead."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise

import torch
from torch import Tensor

log = logging.getLogger("espalier")

SHARE = 0.5
"""Of a GPU's free memory, how much images may take. The network, its gradients, the optimizer's state and the
activations come later and cannot be foreseen; they seldom need more than the half that is left, and where they do,
or where another run has yet to start on the same GPU, a data set fetched ahead costs less than a run out of memory."""


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes of images may lie on `device` throughout a run; if not, the log says so."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    if size <= SHARE * free:
        return True
    log.info(
        "the images stay in host memory and are fetched ahead: they take %.2f GiB, and of the %.2f GiB free on %s"
        " they may have %.2f",
        *(value / 2**30 for value in (size, free)),
        device,
        SHARE * free / 2**30,
    )
    return False


def fetched(images: Tensor, chunks: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """The images of each chunk on `device`; while one chunk is used, a thread fetches the next.

    On CUDA they are copied from pinned memory on a stream of their own, beside the work of the current one.

    Args:
        images: on the host, (N, ...)
        chunks: int64 (n,) each, on the host
    """
    cuda = device.type == "cuda"
    stream = torch.cuda.Stream(device) if cuda else None

    def fetch(samples: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        rows = torch.empty((len(samples), *images.shape[1:]), dtype=images.dtype, pin_memory=cuda)
        torch.index_select(images, 0, samples, out=rows)
        if not cuda:
            return rows.to(device), None
        # Pinned memory is not given out again before a copy from it has ended: torch's allocator keeps track.
        with torch.cuda.stream(stream):
            return rows.to(device, non_blocking=True), stream.record_event()

    with ThreadPoolExecutor(1, "fetch") as worker:
        pending = (worker.submit(fetch, samples) for samples in chunks)
        for present, _ in pairwise(chain(pending, [None])):
            rows, arrived = present.result()
            if cuda:
                current = torch.cuda.current_stream(device)
                current.wait_event(arrived)
                # The allocator knows the copying stream only, and could reuse memory that the current one still reads.
                rows.record_stream(current)
            yield rows
