"""LZMA2 without the frame of an .xz file, whose checks the container has already."""

import lzma

from espalier.errors import Damaged

_DICTIONARY = 1 << 24


def _filters(dictionary: int) -> list[dict[str, int]]:
    # Without lc and pb, fewer probabilities are learned: the texts and words here are short.
    return [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary, "lc": 0, "pb": 0}]


def compress(data: bytes) -> bytes:
    # No larger a dictionary than the data: its hash tables are cleared for every call.
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(min(max(len(data), 1 << 12), _DICTIONARY)))


def decompress(stream: bytes, most: int) -> bytes:
    """What was compressed.

    Raises:
        Damaged: it is not sound, or is longer than `most` bytes; no more than that is ever made.
    """
    machine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(_DICTIONARY))
    try:
        data = machine.decompress(stream, most + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise Damaged(f"an LZMA stream is damaged ({error})") from error
    if len(data) > most or not machine.eof or machine.unused_data:
        raise Damaged(f"an LZMA stream is cut short, or holds more than {most} bytes")
    return data
