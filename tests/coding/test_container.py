"""The layout of a coded file byte by byte, and what is said of one that is not so."""

import hashlib
import lzma
import os
import struct

import pytest

from espalier.coding import container
from espalier.coding.container import Stream
from espalier.coding.xz import compress, decompress
from espalier.errors import Damaged

TABLE = {"b": [1, 2.5, None], "a": {"z": "µ", "c": True}}
TEXT = b'{"a":{"c":true,"z":"\\u00b5"},"b":[1,2.5,null]}'
LZMA2 = {"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "pb": 0}


def unpacked(data):
    return lzma.decompress(data, lzma.FORMAT_RAW, filters=[LZMA2])


def file(path, packed=None, told=None, size=None, rest=b"", version=3):
    """A file with a sound checksum, whatever its header tells of the table."""
    packed = compress(b"{}") if packed is None else packed
    told, size = len(packed) if told is None else told, 2 if size is None else size
    front = struct.pack("<4sBII", b"\x89ESP", version, told, size)
    path.write_bytes(front + hashlib.sha256(front + packed + rest).digest() + packed + rest)
    return path


def test_a_file_is_laid_out_as_documented(tmp_path):
    path = tmp_path / "a.esp"
    container.write(path, TABLE, [Stream(b"one", 0x01020304), Stream(b"", 0), Stream(b"three", 0xFFFFFFFF)])
    data = path.read_bytes()
    magic, version, packed, size = struct.unpack("<4sBII", data[:13])
    assert (magic, version, size) == (b"\x89ESP", 3, len(TEXT))
    assert data[13:45] == hashlib.sha256(data[:13] + data[45:]).digest()
    assert unpacked(data[45 : 45 + packed]) == TEXT
    assert data[45 + packed :] == b"one\4\3\2\1" + b"\0" * 4 + b"three\xff\xff\xff\xff"
    assert container.read(path, len(data)) == (TABLE, packed, data[45 + packed :])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_has_not_is_not_written(tmp_path, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        container.write(tmp_path / "a.esp", {"a": number}, [])
    assert not list(tmp_path.iterdir())


def test_no_more_is_read_than_the_limit(tmp_path):
    path = file(tmp_path / "a.esp", rest=b"x" * 50)
    size = path.stat().st_size
    assert container.read(path, size).rest == b"x" * 50
    with pytest.raises(Damaged, match=f"^it has more than {size - 1} bytes, the limit here$"):
        container.read(path, size - 1)
    # A terabyte of holes takes no room, and would take a terabyte of memory.
    os.truncate(path, 1 << 40)
    with pytest.raises(Damaged, match=r"^it has more than 100 bytes, the limit here$"):
        container.read(path, 100)


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = file(tmp_path / "a.esp", rest=b"stream")
    data = path.read_bytes()

    def said(changed):
        path.write_bytes(changed)
        with pytest.raises(Damaged) as caught:
            container.read(path, 1 << 30)
        return str(caught.value)

    assert said(b"") == said(b"PK\3\4" + data[4:]) == "it is no .esp file"
    assert said(data[:4]) == said(data[:44]) == "it is cut short"
    assert said(data[:45]) == said(data[:-1]) == said(data + b"\0") == "its checksum is wrong"
    for place in (5, 12, 13, 44, 45, len(data) - 1):
        assert said(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) == "its checksum is wrong"
    assert said(file(path, version=4).read_bytes()) == "its format is 4, and this version reads 3"


def test_what_is_wrong_with_a_table_is_said(tmp_path):
    def said(text=b"{}", **told):
        with pytest.raises(Damaged) as caught:
            container.read(file(tmp_path / "a.esp", compress(text), **{"size": len(text)} | told), 1 << 30)
        return str(caught.value)

    packed = len(compress(b"{}"))
    assert said(told=packed + 1) == said(size=(1 << 22) + 1) == "its table is too long"
    # A table of 2^22 bytes is not too long; this one is shorter than is told.
    assert said(size=1 << 22) == said(size=3) == "its table is cut short"
    assert said(size=1) == "an LZMA stream is cut short, or holds more than 1 bytes"
    assert said(told=packed - 1) == "an LZMA stream is cut short, or holds more than 2 bytes"
    assert said(b'{"a":NaN}') == "its table is no JSON (NaN is no number)"
    assert said(b"[-Infinity]") == "its table is no JSON (-Infinity is no number)"
    assert said(b"{").startswith("its table is no JSON (Expecting property name")


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 40, b"0.125,-7," * 3000], ids=len)
def test_what_is_packed_is_a_raw_lzma2_stream(data):
    filters = [LZMA2 | {"preset": 9 | lzma.PRESET_EXTREME, "dict_size": max(4096, len(data))}]
    assert compress(data) == lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    assert unpacked(compress(data)) == data == decompress(compress(data), len(data))


def test_no_more_is_unpacked_than_was_asked_for():
    packed = compress(b"word" * 10)
    for stream, most in ((packed, 39), (packed[:-1], 40), (packed + b"\0", 40)):
        with pytest.raises(Damaged, match=f"^an LZMA stream is cut short, or holds more than {most} bytes$"):
            decompress(stream, most)
    with pytest.raises(Damaged, match=r"^an LZMA stream is damaged \(Corrupt input data\)$"):
        decompress(b"\xff" + packed[1:], 40)
