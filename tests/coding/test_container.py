"""The layout of a coded file byte by byte, and the one sentence for each way in which it can be wrong."""

import hashlib
import lzma
import struct
import tracemalloc

import numpy as np
import pytest

from espalier.coding import container, dense, xz
from espalier.coding.container import Stream
from espalier.errors import Damaged
from espalier.seeding import key

TABLE = {"words": [1, "a b"], "levels": [], "order": {"b": None, "a": 0.5}}
TEXT = b'{"levels":[],"order":{"a":0.5,"b":null},"words":[1,"a b"]}'


def lzma2(data: bytes) -> bytes:
    dictionary = max(4096, min(len(data), 1 << 24))
    preset = {"preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary, "lc": 0, "pb": 0}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, **preset}])


def whole(text: bytes, rest: bytes = b"", packed: int | None = None, unpacked: int | None = None) -> bytes:
    body = lzma2(text)
    lengths = len(body) if packed is None else packed, len(text) if unpacked is None else unpacked
    front = b"\x89ESP\x03" + struct.pack("<II", *lengths)
    return front + hashlib.sha256(front + body + rest).digest() + body + rest


def refused(path, data: bytes, most: int = 1 << 20) -> str:
    path.write_bytes(data)
    with pytest.raises(Damaged) as caught:
        container.read(path, most)
    return str(caught.value)


def test_a_file_is_its_front_table_and_streams_with_checksums(tmp_path):
    path = tmp_path / "a.esp"
    container.write(path, TABLE, [Stream(b"abc", 0x01020304), Stream(b"", 5)])
    rest = b"abc\x04\x03\x02\x01" + b"\x05\0\0\0"
    assert path.read_bytes() == whole(TEXT, rest)
    assert container.read(path, 1 << 20) == (TABLE, len(lzma2(TEXT)), rest)


def test_numbers_that_json_lacks_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        container.write(tmp_path / "a.esp", {"x": float("nan")}, [])
    assert not (tmp_path / "a.esp").exists()


def test_a_file_of_as_many_bytes_as_the_limit_is_read(tmp_path):
    path, data = tmp_path / "a.esp", whole(b"{}")
    path.write_bytes(data)
    assert container.read(path, len(data)).table == {}
    assert refused(path, data, len(data) - 1) == f"it has more than {len(data) - 1} bytes, the limit here"


def test_no_more_is_read_than_the_limit(tmp_path):
    path = tmp_path / "a.esp"
    path.write_bytes(bytes(1 << 22))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="more than 1000 bytes"):
            container.read(path, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_each_wrong_part_has_its_own_sentence(tmp_path):
    path, data = tmp_path / "a.esp", whole(TEXT)
    assert refused(path, b"PK" + data[2:]) == "it is no .esp file"
    assert refused(path, data[:44]) == refused(path, data[:4]) == "it is cut short"
    assert refused(path, data[:45]) == refused(path, data + b"\0") == "its checksum is wrong"
    assert refused(path, data[:4] + b"\x04" + data[5:]) == "its format is 4, and this version reads 3"
    assert refused(path, whole(TEXT, packed=len(data))) == "its table is too long"
    assert refused(path, whole(TEXT, unpacked=(1 << 22) + 1)) == "its table is too long"
    assert refused(path, whole(TEXT, unpacked=len(TEXT) + 1)) == "its table is cut short"
    assert refused(path, whole(b"{'a'}")).startswith("its table is no JSON (Expecting property name")
    for word in ("NaN", "Infinity", "-Infinity"):
        text = f'{{"a":{word}}}'.encode()
        assert refused(path, whole(text)) == f"its table is no JSON ({word} is no number)"


def test_a_table_may_take_4_mib_when_it_is_unpacked(tmp_path):
    path = tmp_path / "a.esp"
    path.write_bytes(whole(b"{}" + b" " * ((1 << 22) - 2)))
    assert container.read(path, 1 << 20).table == {}


@pytest.mark.parametrize("size", [0, 1, 5000, 40_000])
def test_lzma2_is_that_of_the_format(size):
    # Numbers of two bytes, the upper one of which says little: what lc and pb change.
    data = np.random.default_rng(key("lzma2")).normal(0, 300, (size + 1) // 2).astype("<i2").tobytes()[:size]
    stream = xz.compress(data)
    assert stream == lzma2(data)
    assert xz.decompress(stream, size) == data


def test_lzma2_is_refused_where_it_is_cut_or_longer_than_said():
    data = bytes(range(250)) * 4
    stream = xz.compress(data)
    for wrong, most in ((stream[:-1], 1000), (stream + b"\0", 1000), (stream, 999), (b"", 1000)):
        with pytest.raises(Damaged) as caught:
            xz.decompress(wrong, most)
        assert str(caught.value) == f"an LZMA stream is cut short, or holds more than {most} bytes"
    with pytest.raises(Damaged, match=r"^an LZMA stream is damaged \(Corrupt input data\)$"):
        xz.decompress(b"\x7f" + stream, 1000)


@pytest.mark.parametrize(("low", "high"), [(-3, 4), (0, 0), (-100, 27), (5, 70_000)])
@pytest.mark.parametrize("count", [0, 1, 7, 33])
def test_dense_levels_are_one_long_number_of_so_many_bits_each(low, high, count):
    width = (high - low).bit_length()
    levels = np.random.default_rng(key("packed", count)).integers(low, high, count, endpoint=True)
    number = sum((int(level) - low) << place * width for place, level in enumerate(levels))
    stream = number.to_bytes((count * width + 7) // 8, "little")
    assert dense.encode(levels, low, high) == stream
    found = dense.decode(stream, count, low, high)
    assert found.dtype == np.int64
    assert found.tolist() == levels.tolist()
    with pytest.raises(Damaged) as caught:
        dense.decode(stream + b"\0", count, low, high)
    assert str(caught.value) == f"{len(stream) + 1} bytes for {count} values of {width} bits"
