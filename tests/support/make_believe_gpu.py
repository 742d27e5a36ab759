"""A make-believe GPU: tensors that say `cuda:0` to Python and compute on the CPU, for machines without one.

    from support.make_believe_gpu import gpu

    with gpu() as seen:
        x = torch.ones(3, device="cuda")
        x.sum().item()
    assert seen.waits == {"item": 1}

Within the block "cuda" is a device of its own: a tensor reaches it by `.to` or `device=`, keeps its numbers in
ordinary CPU memory (`inner`), and so has the bits of the CPU. What a GPU would refuse is refused:

- tensors of two devices in one operation (a CPU tensor without dimensions may join, as it may on a GPU);
- `.numpy()` of a tensor on the device;
- an operation without a deterministic CUDA kernel, while torch is asked for deterministic ones;
- a seeded draw that counts on the CPU's generator: the device draws from one of its own, which starts elsewhere;
- `torch.cuda.default_generators` before CUDA has started: there are none.

What a GPU would be slowed down by is counted in what `gpu()` gives, a `Seen`: host waits, copies to and from the
device, and operations, of which each is at least one kernel.

`gpu("mps")` is a device that is neither a CPU nor CUDA, for what Macs need: it refuses the first two, and float64.

How: `DeviceTensor` is a wrapper subclass, whose operations come to `__torch_dispatch__`; `Device`, a
TorchDispatchMode, sees what makes tensors, and `Asked`, a TorchFunctionMode, the two functions that hide from it.
These are torch's own points of extension. The driver's own calls (`torch.cuda.mem_get_info`, streams) have stand-ins,
since there is no driver; Accelerate is told the device by its variable. A mode is a thread's own: threads that move
tensors enter the modes themselves, see `in_threads`.

Not seen: half precision, which torch's C++ chooses by the true device; several GPUs; graphs, compiled code and the
order of streams; numbers that CUDA's kernels round otherwise; memory. To C++ the tensors are a CPU's: that is why
`backward` runs in the calling thread, and why torch's grouping of tensors by device has a stand-in too.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

ROOM = f"{Path(__file__).parents[2] / 'espalier'}/"
MEMORY = 140 << 30

NOT_DETERMINISTIC = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_ctc_loss_backward",
    "_embedding_bag_dense_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward",
    "avg_pool3d_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "kthvalue",
    "max_unpool2d",
    "max_unpool3d",
    "median.dim",
    "nanmedian.dim",
    "nll_loss2d_backward",
    "nll_loss2d_forward",
    "put",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
}
"""Operations that libtorch_cuda.so of 2.13 alerts of, but for `bincount` with weights, which is asked apart."""

READS = {"_local_scalar_dense": "item", "equal": "equal", "is_nonzero": "item"}
WAITS = READS | dict.fromkeys(("nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive"), "size")
WAITS |= dict.fromkeys(("bincount", "repeat_interleave"), "size")
"""Operations after which the host knows a number of the device: one that is read, or the size of a result."""

INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
"""Operations of `x[places]`."""

NO_KERNEL = {
    "_local_scalar_dense",
    "_unsafe_view",
    "detach",
    "lift_fresh",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "set_",
}
"""Operations besides views that start nothing on the device."""


@dataclass
class Seen:
    """What the device was asked for since `clear`."""

    waits: Counter[str] = field(default_factory=Counter)
    """times that the host would have waited for the device, by kind: item, equal, size, mask, from, to"""
    copies: Counter[str] = field(default_factory=Counter)
    """tensors that went to the device, or from it"""
    kernels: Counter[str] = field(default_factory=Counter)
    """operations that start work, by name; one of a list of tensors (`_foreach_…`) counts once"""
    places: Counter[str] = field(default_factory=Counter)
    """where the waits and copies were asked for, "waits item training/loop.py:103"; ? outside of espalier/"""

    def clear(self) -> None:
        for each in (self.waits, self.copies, self.kernels, self.places):
            each.clear()

    def waited(self, kind: str) -> None:
        self.waits[kind] += 1
        self.places[f"waits {kind} {_place()}"] += 1

    def copied(self, way: str, waits: bool = True) -> None:
        self.copies[way] += 1
        self.places[f"copies {way} {_place()}"] += 1
        if waits:
            self.waited(way)


def _place() -> str:
    frame = sys._getframe(1)
    while frame and not frame.f_code.co_filename.startswith(ROOM):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.removeprefix(ROOM)}:{frame.f_lineno}" if frame else "?"


@dataclass
class _Now:
    """The device as it is now; one block at a time."""

    device: torch.device
    seen: Seen
    generator: torch.Generator | None = None
    leaving: bool = False
    """whether a copy to the CPU is asked for by Python; autograd asks for one where it means to stay"""


_now = _Now(torch.device("cuda", 0), Seen())


class DeviceTensor(torch.Tensor):
    """A tensor on the device; `inner` has its numbers, on the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "DeviceTensor":
        if inner.dtype == torch.float64 and _now.device.type == "mps":
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype, which the MPS framework does not support")
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="cpu",
        )
        made.inner = inner.detach()
        return made

    # What makes it one that Module.to may exchange for a parameter.
    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, size, stride):
        return DeviceTensor(inner["inner"])

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if not torch.is_inference_mode_enabled():
            return _run(func, args, kwargs or {})
        # A wrapper made there would be of another kind than what it is a view of.
        with torch.inference_mode(False), torch.no_grad():
            return _run(func, args, kwargs or {})

    device = property(lambda self: _now.device)
    is_cpu = property(lambda self: False)
    is_cuda = property(lambda self: _now.device.type == "cuda")
    is_mps = property(lambda self: _now.device.type == "mps")

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, value):
        # A parameter stays the object that it is, also where it leaves the device.
        torch.utils.swap_tensors(self, torch.nn.Parameter(value, requires_grad=self.requires_grad))

    def get_device(self) -> int:
        return 0

    def to(self, *args, copy=False, **kwargs):
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype)
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        wanted = {} if dtype is None else {"dtype": dtype}
        if layout is not None:
            wanted["memory_format"] = layout
        if device is not None and device.type != _now.device.type:
            _now.leaving = True
            try:
                return torch.ops.aten._to_copy.default(self, device=device, non_blocking=non_blocking, **wanted)
            finally:
                _now.leaving = False
        stays = layout in (None, torch.preserve_format) or self.is_contiguous(memory_format=layout)
        if stays and dtype in (None, self.dtype) and not copy:
            return self
        return torch.ops.aten._to_copy.default(self, **wanted)

    def cpu(self):
        return self.to("cpu")

    def cuda(self, *_):
        return self

    def tolist(self):
        return self.detach().cpu().tolist()

    def numpy(self, **_):
        raise TypeError(f"can't convert {_now.device} device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def record_stream(self, stream):
        pass

    def new_tensor(self, data, *, dtype=None, device=None):
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or _now.device)

    def __repr__(self):
        return f"DeviceTensor({self.inner!r})"


def _run(func, args, kwargs):
    """An operation of the device."""
    flat, spec = tree_flatten((args, kwargs))
    name = func.overloadpacket.__name__
    if name == "_to_copy" and _now.leaving:
        # Shapes alone, on the meta device, are known to the host.
        if kwargs["device"].type == "cpu":
            _now.seen.copied("from")
        inner = tree_unflatten([x.inner if isinstance(x, DeviceTensor) else x for x in flat], spec)
        return func(*inner[0], **inner[1] | {"non_blocking": False})
    if name == "copy_":
        target, source = args[:2]
        if isinstance(target, DeviceTensor) != isinstance(source, DeviceTensor) and not _scalar(source):
            _now.seen.copied(*("to", not kwargs.get("non_blocking")) if isinstance(target, DeviceTensor) else ("from",))
        if not isinstance(target, DeviceTensor):
            target.copy_(source.inner)
            return target
    else:
        _refuse_others(func, name, args, flat)
    _refuse_random_sums(func, name, args)
    _count(func, name, args)
    inner_args, inner_kwargs = tree_unflatten([x.inner if isinstance(x, DeviceTensor) else x for x in flat], spec)
    with _own_draws(func, inner_kwargs):
        out = func(*inner_args, **inner_kwargs)
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(torch.Tensor, DeviceTensor, out))


def _scalar(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.dim() and value.device.type == "cpu"


def _refuse_others(func, name: str, args, flat) -> None:
    others = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, DeviceTensor) and not _scalar(x)]
    if name.startswith("_fake_quantize"):
        # Its switch is made by torch's C++ of the options of its input, and so on the CPU.
        others = [x for x in others if x is not args[3]]
    if not others:
        return
    if name in INDEXED and isinstance(args[0], DeviceTensor):
        # Places may be told by the host, which then copies them.
        _now.seen.copied("to")
        return
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {_now.device} and "
        f"{others[0].device}! ({func})"
    )


def _refuse_random_sums(func, name: str, args) -> None:
    if _now.device.type != "cuda" or not torch.are_deterministic_algorithms_enabled():
        return
    weighted = name == "bincount" and len(args) > 1 and args[1] is not None
    if weighted or name in NOT_DETERMINISTIC or f"{name}.{func._overloadname}" in NOT_DETERMINISTIC:
        raise RuntimeError(f"{name} does not have a deterministic implementation on CUDA")


def _count(func, name: str, args) -> None:
    if name in WAITS:
        _now.seen.waited(WAITS[name])
    elif name in INDEXED and any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]):
        _now.seen.waited("mask")
    if not func.is_view and name not in NO_KERNEL:
        _now.seen.kernels[name] += 1


@contextmanager
def _own_draws(func, kwargs) -> Iterator[None]:
    """The device's own generator in the place of the CPU's."""
    if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
        yield
        return
    theirs = torch.default_generator.get_state()
    torch.default_generator.set_state(_now.generator.get_state())
    try:
        yield
    finally:
        _now.generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(theirs)


class Device(TorchDispatchMode):
    """Makes tensors on the device where they are asked for there, and copies them to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if kwargs.get("pin_memory"):
            kwargs = kwargs | {"pin_memory": False}
        if not _ours(kwargs.get("device")):
            return func(*args, **kwargs)
        with _own_draws(func, kwargs):
            made = func(*args, **kwargs | {"device": torch.device("cpu")})
        if isinstance(made, DeviceTensor):
            return made
        name = func.overloadpacket.__name__
        if name == "_to_copy":
            _now.seen.copied("to", waits=not kwargs.get("non_blocking"))
        elif name not in NO_KERNEL:
            _now.seen.kernels[name] += 1
        _start()
        return DeviceTensor(made)


class Asked(TorchFunctionMode):
    """What a `Device` does not see: `torch.tensor` starts CUDA in its own way, and `to` another tensor's device.

    A device without a number gets its own, for which torch would ask the driver.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _ours(kwargs.get("device")):
            if func in (torch.tensor, torch.as_tensor):
                return func(*args, **kwargs | {"device": None}).to(_now.device)
            kwargs = kwargs | {"device": _now.device}
        if func is torch.Tensor.to and len(args) > 1:
            if isinstance(args[1], DeviceTensor):
                args = (args[0], _now.device, args[1].dtype, *args[2:])
            elif isinstance(args[1], str | torch.device) and _ours(args[1]):
                args = (args[0], _now.device, *args[2:])
        return func(*args, **kwargs)


def _ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == _now.device.type


def _start() -> None:
    """As CUDA starts: from now on it has a generator."""
    if _now.device.type == "cuda":
        torch.cuda.default_generators = (_now.generator,)


class Stream:
    """A stream in which all is done at once."""

    def __init__(self, *_: Any) -> None:
        pass

    def record_event(self) -> SimpleNamespace:
        return SimpleNamespace()

    def wait_event(self, event: Any) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        pass


def _no_graph() -> None:
    raise RuntimeError("a make-believe GPU holds no graph")


_DRIVER = {
    "CUDAGraph": _no_graph,
    "_lazy_init": _start,
    "current_device": lambda: _start() or 0,
    "get_device_capability": lambda *_: (9, 0),
    "get_device_name": lambda *_: "make-believe GPU",
    "mem_get_info": lambda *_: (MEMORY, MEMORY),
    "max_memory_allocated": lambda *_: 0,
    "Stream": Stream,
    "stream": lambda stream: stream,
    "current_stream": lambda *_: Stream(),
}


def _enter() -> None:
    Device().__enter__()
    Asked().__enter__()


class in_threads(ThreadPoolExecutor):
    """A pool whose threads see the device, to stand for the one in espalier/data/fetching.py."""

    def __init__(self, workers: int, name: str) -> None:
        super().__init__(workers, name, initializer=_enter)


@contextmanager
def gpu(kind: str = "cuda") -> Iterator[Seen]:
    """A device that Accelerate chooses, and on which tensors can be made; gives what is seen of it."""
    _now.device, _now.seen = torch.device(kind, 0), Seen()
    # Seeded otherwise than the CPU's generator, so that a draw that is not seeded gives other numbers.
    _now.generator = torch.Generator().manual_seed(0x6B7)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {"ACCELERATE_TORCH_DEVICE": str(_now.device)}))
        if kind == "cuda":
            stack.enter_context(mock.patch.multiple(torch.cuda, default_generators=(), **_DRIVER))
        else:
            stack.enter_context(mock.patch.object(torch.mps, "manual_seed", lambda n: _now.generator.manual_seed(n)))
        # Optimizers work on lists of tensors where all are of a kind that they know.
        known = [*optimizer._foreach_supported_types, DeviceTensor]
        stack.enter_context(mock.patch.object(optimizer, "_foreach_supported_types", known))
        stack.enter_context(mock.patch.object(torch._C, _GROUPS, _grouped))
        _forget_accelerate()
        stack.callback(_forget_accelerate)
        stack.enter_context(Device())
        stack.enter_context(Asked())
        yield _now.seen


_GROUPS = "_group_tensors_by_device_and_dtype"
_group = getattr(torch._C, _GROUPS)


def _grouped(lists, with_indices=False):
    ours = isinstance(next((x for x in lists[0] if x is not None), None), DeviceTensor)
    return {(_now.device if ours else key[0], key[1]): found for key, found in _group(lists, with_indices).items()}


def _forget_accelerate() -> None:
    from accelerate.state import AcceleratorState, PartialState

    AcceleratorState._reset_state(True)
    PartialState._reset_state()


def on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """The numbers of a tensor, wherever it is, without a copy or a wait that counts."""
    return tensor.inner if isinstance(tensor, DeviceTensor) else tensor
