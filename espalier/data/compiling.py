"""Functions compiled to machine code by numba, with arithmetic whose every rounding is known."""

from collections.abc import Callable

import numba
from numba.extending import intrinsic


def compiled(function: Callable) -> Callable:
    """Machine code of `function`, kept between processes where there is a folder to write to.

    Without fastmath nothing is reordered, nor a product and a sum fused unless by `fma`.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:
        return numba.njit(function, **options)


@intrinsic
def fma(typing, factor, other, term):
    """factor * other + term of float32, rounded once."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    single = numba.types.float32
    return single(single, single, single), codegen
