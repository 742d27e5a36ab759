"""Whether each test image was right, a bit an image: what paired comparisons of two networks are made of."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from espalier.runs.record import Record

FILE = "correct.bits"


def packed(right: "np.ndarray") -> bytes:
    """Bits in the order of the images, the first in the highest bit of the first byte; the last byte ends in zeros."""
    import numpy as np

    return np.packbits(right.astype(bool)).tobytes()


def read(record: "Record") -> "np.ndarray":
    """bool (n,): whether each image of the test split was right, in the split's order, at the end of a chain.

    Evaluations on one prepared data set have the same images in the same order.

    Raises:
        ArtifactError: the record is not of an evaluation that wrote them, or a file is missing or changed.
    """
    import numpy as np

    bits = np.frombuffer(record.path(FILE).read_bytes(), np.uint8)
    return np.unpackbits(bits, count=int(record.metrics["images"])).astype(bool)
