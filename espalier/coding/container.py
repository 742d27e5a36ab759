"""The layout of an `.esp` file, and checks that none of its bytes has changed.

    magic 4 | version 1 | bytes of the table, packed 4 | and unpacked 4 | SHA-256 of all the rest 32 |
    table (canonical JSON, LZMA2) | streams, each with the CRC-32 of the shapes and values that it decodes to

Numbers are bytes; whole numbers are little-endian. Streams have lengths and no offsets, so that they can neither
overlap nor leave gaps.
"""

import hashlib
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from espalier.coding.xz import compress, decompress
from espalier.errors import Damaged
from espalier.files import replacing

MAGIC = b"\x89ESP"
VERSION = 3
CRC_BYTES = 4
_FRONT = struct.Struct("<4sBII")
_SHA_BYTES = 32
HEADER_BYTES = _FRONT.size + _SHA_BYTES
_TABLE_MOST = 1 << 22
"""A table of thousands of tensors is well below; one made to fill memory is not."""


class Stream(NamedTuple):
    """A coded stream and the CRC-32 of the shapes and values that it decodes to."""

    data: bytes
    crc: int


class Frame(NamedTuple):
    """A file taken apart; `rest` holds all streams."""

    table: Any
    table_bytes: int
    rest: bytes


def write(path: Path, table: Any, streams: Iterable[Stream]) -> None:
    """Write a file in one rename; equal contents give equal bytes."""
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    packed = compress(text)
    front = _FRONT.pack(MAGIC, VERSION, len(packed), len(text))
    body = packed + b"".join(one.data + one.crc.to_bytes(CRC_BYTES, "little") for one in streams)
    with replacing(path) as temporary:
        temporary.write_bytes(front + hashlib.sha256(front + body).digest() + body)


def read(path: Path, most: int) -> Frame:
    """Take a file apart, without a look at its streams.

    Args:
        most: bytes above which a file is not read

    Raises:
        Damaged: it is no such file, or not as it was written.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Damaged(f"it has more than {most} bytes, the limit here")
    if data[:4] != MAGIC:
        raise Damaged("it is no .esp file")
    if len(data) < HEADER_BYTES:
        raise Damaged("it is cut short")
    _, version, packed, unpacked = _FRONT.unpack_from(data)
    if version != VERSION:
        raise Damaged(f"its format is {version}, and this version reads {VERSION}")
    front, sha, body = data[: _FRONT.size], data[_FRONT.size : HEADER_BYTES], data[HEADER_BYTES:]
    if hashlib.sha256(front + body).digest() != sha:
        raise Damaged("its checksum is wrong")
    if packed > len(body) or unpacked > _TABLE_MOST:
        raise Damaged("its table is too long")
    text = decompress(body[:packed], unpacked)
    if len(text) != unpacked:
        raise Damaged("its table is cut short")
    try:
        table = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"its table is no JSON ({error})") from error
    return Frame(table, packed, body[packed:])


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")
