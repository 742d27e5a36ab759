"""What a pruned and quantized network would weigh by the usual reckoning, before anything is coded."""

INDEX_BITS = 16
_MIB = 2**20


def theoretical_mib(nonzeros: int, others: int, weight_bits: int) -> float:
    """MiB of non-zero weights with a 16-bit index each and of all other parameters in fp32.

    Scales, shapes and the statistics of batch normalization are left out: a file is larger.
    """
    return (nonzeros * (weight_bits + INDEX_BITS) + others * 32) / 8 / _MIB
