"""A network as the contents of a coded file, and the network that such a file holds."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

from espalier.coding import activations, plain_tensors
from espalier.coding.decoder import LIMIT, Contents, decode
from espalier.coding.encoder import encode
from espalier.coding.memory_limit import Bounded
from espalier.coding.network_record import Record, parse
from espalier.data.feed import RESIZE, Feed
from espalier.errors import ArtifactError, Damaged, Mistake
from espalier.metrics.cost import weighted
from espalier.models.facts import FORMAT, facts_of
from espalier.networks.network import Network, channels_of, structure
from espalier.networks.shrink_quantized import shrink_quantized
from espalier.quantization.folding import fold as fold_in
from espalier.quantization.folding import foldable, folded_levels
from espalier.quantization.qparams import Quantized
from espalier.quantization.quantized import Quantization, install, to

Tensors = dict[str, Quantized | Tensor]

SMALLEST: dict[str, Any] = {"fold": True, "floats": "fp16", "shrink": True}
"""The settings with which a file is small and its network's answers stay, to rounding."""

_WEIGHT = ".weight"
_FLOAT_BITS = {"fp32": 24, "fp16": 11}
"""significant bits of each type"""


@torch.no_grad()
def tensors_of(
    network: Network,
    fold: bool = False,
    floats: Literal["fp32", "fp16"] = "fp32",
    shrink: bool = False,
    significant_bits: int | None = None,
) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the record that a coded file of a network holds: its state, with quantized weights as levels.

    Args:
        fold: fold normalizations into the layers before them; levels stay, and scales absorb the factors, one for each
            output channel
        floats: fp16 rounds all that is not quantized, scales included, to 11 significant bits
        shrink: leave out channels that contribute nothing
        significant_bits: round all that is not quantized to so many bits; None for all that the type has

    Raises:
        Mistake: a number is too large for fp16.
    """
    network = shrink_quantized(network) if shrink else network
    model = network.plain()
    weights, inputs, dynamic = to(network.quantization or Quantization({}, {}, {}), "cpu")
    pairs: dict[str, str] = {}
    if fold:
        size = network.image_size
        pairs = foldable(model, torch.zeros(1, network.channels, size, size))
        weights = folded_levels(model, weights, pairs)
        fold_in(model, pairs)
    paths = [*weighted(model)]
    joined, ends = activations.merge(inputs, paths)
    levels = {path + _WEIGHT: each for path, each in weights.items()}
    tensors: Tensors = {**model.state_dict(), **levels, **joined}
    if floats == "fp16" or significant_bits:
        bits = min(significant_bits or _FLOAT_BITS[floats], _FLOAT_BITS[floats])
        tensors = {name: _rounded(name, each, bits, floats) for name, each in tensors.items()}
    record = Record(
        format=FORMAT,
        model=network.choice,
        num_classes=network.num_classes,
        image_size=network.image_size,
        floats=floats,
        shapes=network.shapes,
        folded=pairs,
        activations=ends,
        dynamic=[dynamic.get(path) for path in paths] if dynamic else [],
        feed=_unusual(network) if network.feed else {},
    )
    return tensors, record.plain()


def coded_bytes(network: Network, **how: Any) -> int:
    """Size of the file of a network, with what `tensors_of` takes.

    Raises:
        Mistake: a number is too large for fp16.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.esp"
        encode(*tensors_of(network, **how), path)
        return path.stat().st_size


def load(path: Path) -> Network:
    """The network in a coded file, on the CPU, in evaluation mode.

    Raises:
        ArtifactError: the file is missing or damaged, or its tensors are not those of its network.
    """
    return rebuild(decode(path), path)


def rebuild(contents: Contents, path: Path) -> Network:
    """The network that a file's contents describe.

    Args:
        path: the file, for the message of an error

    Raises:
        ArtifactError: the tensors are not those of the network that the file names.
    """
    try:
        return _rebuilt(contents)
    except (
        # Settings from a file may ask for a network that cannot be built in any of these ways.
        *(Damaged, Mistake, MemoryError, AssertionError, AttributeError),
        *(ArithmeticError, LookupError, RuntimeError, TypeError, ValueError),
    ) as error:
        reason = " ".join(str(error).split())[:500]
        raise ArtifactError(
            f"{path}: its tensors are not those of its network ({reason}). "
            "Copy it from its source again, or encode its run again"
        ) from error


@torch.no_grad()
def _rebuilt(contents: Contents) -> Network:
    record = parse(contents.record)
    feed = Feed.model_validate(_usual(record.num_classes, record.image_size) | record.feed) if record.feed else None
    with Bounded(LIMIT):
        model = structure(record.model, record.num_classes, record.image_size, channels_of(feed), record.shapes)
    fold_in(model, record.folded)
    if len(model.get_submodule(facts_of(model).classifier).weight) != record.num_classes:
        raise ValueError(f"its classifier has not {record.num_classes} outputs")
    tensors = dict(contents.tensors)
    joined = tensors.pop(activations.SCALE, None), tensors.pop(activations.ZERO_POINT, None)
    paths = [*weighted(model)]
    weights = {name.removesuffix(_WEIGHT): one for name, one in tensors.items() if isinstance(one, Quantized)}
    if wrong := sorted(weights.keys() - set(paths)):
        raise ValueError(f"{wrong[0]}: levels of what is no weight of a layer")
    quantization = Quantization(
        weights,
        activations.split(*joined, record.activations, paths),
        {path: bits for path, bits in zip(paths, record.dynamic, strict=True) if bits} if record.dynamic else {},
    )
    state = {name: one.dequantize() if isinstance(one, Quantized) else one for name, one in tensors.items()}
    _check_types(model.state_dict(), state, record.floats)
    model.load_state_dict(state)
    install(model, quantization)
    sizes = record.num_classes, record.image_size
    return Network(model.eval(), record.model, *sizes, record.shapes, quantization if any(quantization) else None, feed)


def _usual(num_classes: int, image_size: int) -> dict[str, Any]:
    """The default entries of a feed, which a coded file leaves out."""
    classes = [str(number) for number in range(num_classes)]
    return {"image_size": image_size, "classes": classes, "grayscale": False, "resize": RESIZE}


def _unusual(network: Network) -> dict[str, Any]:
    usual = _usual(network.num_classes, network.image_size)
    return {key: value for key, value in network.feed.said().items() if usual.get(key) != value}


def _rounded(name: str, tensor: Quantized | Tensor, bits: int, floats: str) -> Quantized | Tensor:
    if isinstance(tensor, Quantized):
        return Quantized(tensor.levels, tensor.qparams._replace(scale=shortened(tensor.qparams.scale, bits)))
    if name == activations.SCALE:
        return shortened(tensor)
    if bits < _FLOAT_BITS[floats] and tensor.dtype == torch.float32:
        tensor = shortened(tensor, bits)
    return half(name, tensor) if floats == "fp16" else tensor


def half(name: str, tensor: Tensor) -> Tensor:
    """A tensor of floats as float16; another one as it is.

    Raises:
        Mistake: a number is too large for it.
    """
    if not tensor.is_floating_point():
        return tensor
    found = tensor.half()
    if not torch.equal(found.isfinite(), tensor.isfinite()):
        raise Mistake(f"encode.floats: fp16 ends at 65504, and {name} does not; use fp32")
    return found


def shortened(floats: Tensor, bits: int = _FLOAT_BITS["fp16"]) -> Tensor:
    """Numbers, float32, rounded to so many significant bits, with the exponents of 32 bits: a small one stays.

    Scales take no more bytes so than in float16: the coder pays for the exponents that occur, and next to nothing for
    zero bits.
    """
    mantissa, exponent = torch.frexp(floats)
    return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent).to(torch.float32)


def _check_types(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], floats: str) -> None:
    for name in expected.keys() & found.keys():
        own, theirs = expected[name].dtype, found[name].dtype
        if theirs != own and not (floats == "fp16" and (theirs, own) == (torch.float16, torch.float32)):
            raise ValueError(f"{name} is {theirs} and not {own}")


def differing(found: Tensors, wanted: Tensors) -> str | None:
    """The first name, in order, whose tensors are not the same bit for bit; None where all are."""
    for one, other in zip(found, wanted, strict=True) if len(found) == len(wanted) else [("a tensor", "")]:
        if one != other or not _same(found[one], wanted[other]):
            return one
    return None


def _same(one: Quantized | Tensor, other: Quantized | Tensor) -> bool:
    if isinstance(one, Quantized) and isinstance(other, Quantized):
        pairs = ((one.levels, other.levels), *zip(one.qparams[:2], other.qparams[:2], strict=True))
        return one.qparams[2:] == other.qparams[2:] and all(_same(*pair) for pair in pairs)
    if isinstance(one, Quantized) or isinstance(other, Quantized):
        return False
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and bool((plain_tensors.bits(one) == plain_tensors.bits(other)).all())
