"""Numbers that are not quantized, rounded to the 11 significant bits of a 16-bit float."""

import torch
from torch import Tensor

from espalier.errors import Mistake

_BITS = 11


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


def shortened(scale: Tensor) -> Tensor:
    """Scales, float32, of as many significant bits, with the exponents of 32 bits: a small one does not vanish.

    They take no more bytes so: the coder pays for the exponents that occur, and next to nothing for zero bits.
    """
    mantissa, exponent = torch.frexp(scale)
    return torch.ldexp((mantissa * 2**_BITS).round() / 2**_BITS, exponent).to(torch.float32)
