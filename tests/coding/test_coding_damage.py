"""Files that are damaged, or made to harm: one clear error, soon, and never another network's weights."""

import json
import resource
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espalier.coding import container
from espalier.coding.codecs import CODECS
from espalier.coding.decoder import decode
from espalier.coding.encoder import encode
from espalier.errors import ArtifactError
from espalier.quantization.qparams import QParams, Quantized
from espalier.seeding import key
from support.coded_networks import RECORD, network, quantized, same, sealed, sparse, taken_apart

LIMIT = 1 << 24


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small file with a stream of every codec."""
    folder = tmp_path_factory.mktemp("sound")
    tensors = network()
    for codec in CODECS:
        encode(
            {"w": quantized(sparse((30, 20), 8, 0.2, codec)), "b": torch.randn(30)}, RECORD, folder / codec, (codec,)
        )
    encode(tensors, RECORD, folder / "all")
    return folder


def refused(path, limit=LIMIT):
    """The error's text; a file must not decode."""
    with pytest.raises(ArtifactError) as caught:
        decode(path, limit)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert len(said) < 800
    return said


def test_every_cut_and_every_flipped_bit_of_a_file_is_noticed(sound, tmp_path):
    data = (sound / "dense").read_bytes()
    path = tmp_path / "a.esp"
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        refused(path)
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        refused(path)
    path.write_bytes(data + b"\0")
    refused(path)


def test_what_is_no_file_or_another_format_is_told(sound, tmp_path):
    path = tmp_path / "a.esp"
    assert "No such file" in refused(path)
    assert "Is a directory" in refused(tmp_path)
    path.write_bytes(b"PK\x03\x04" * 20)
    assert "no .esp file" in refused(path)
    data = bytearray((sound / "all").read_bytes())
    # Those of format 2 had another coder of levels.
    for version in (1, 2, 9):
        data[4] = version
        path.write_bytes(data)
        said = refused(path)
        assert f"its format is {version}, and this version reads 3" in said
        assert "encode its run again" in said
    assert "more than 100 bytes" in refused(sound / "all", 100)


HOSTILE = {
    "a huge shape": ("levels", 0, 1, [1 << 20, 1 << 20]),
    "a shape beyond 64 bits": ("levels", 0, 1, [1 << 30, 1 << 30, 1 << 30, 1 << 30]),
    "no elements in a shape beyond 64 bits": ("levels", 0, 1, [0, 1 << 30, 1 << 30, 1 << 30]),
    "a dimension beyond 32 bits": ("levels", 0, 1, [1 << 40, 0]),
    "a negative dimension": ("levels", 0, 1, [-30, -20]),
    "nine dimensions": ("levels", 0, 1, [1] * 9),
    "a truth value for a size": ("levels", 0, 1, [True, 20]),
    "more cells than its bytes can hold": ("levels", 0, 1, [2000, 2000]),
    "another shape": ("levels", 0, 1, [20, 30]),
    "a name with a slash": ("levels", 0, 0, "../w"),
    "an endless name": ("levels", 0, 0, "w" * 600),
    "two tensors of one name": ("levels", 0, 0, "b"),
    "huge scales": ("levels", 0, 4, [30, 1 << 30]),
    "scales of other dimensions": ("levels", 0, 4, [30]),
    "no such codec": ("levels", 0, 6, 2),
    "a negative codec": ("levels", 0, 6, -1),
    "levels the wrong way round": ("levels", 0, 7, 100000),
    "levels far away": ("levels", 0, 8, 1 << 40),
    "settings too many": ("levels", 0, 9, [0] * 12),
    "settings of a row": ("levels", 0, 9, ["a"]),
    "a mean square beyond all levels": ("levels", 0, 9, [1, 127, 35, 0]),
    "a width beyond all images": ("levels", 0, 9, [1, 127, 5, 1 << 16]),
    "no least magnitude": ("levels", 0, 9, [0, 127, 5, 0]),
    "a stream too long": ("levels", 0, 10, 1 << 40),
    "a negative stream": ("levels", 0, 10, -1),
    "another type": ("plain", 0, 2, "float64"),
    "an unknown type": ("plain", 0, 2, "object"),
    "a huge vector": ("plain", 0, 1, [1 << 29]),
    "an unknown stream": ("words", 0, 0, "code"),
    "an unknown codec of words": ("words", 0, 1, "pickle"),
    "a short stream": ("words", 0, 2, 0),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_tables_are_refused_at_once(sound, tmp_path, codec, what):
    table, rest = taken_apart(sound / codec)
    part, row, place, value = HOSTILE[what]
    if what == "settings too many" and codec != "mixed":
        value = [0]
    table[part][row][place] = value
    path = tmp_path / "a.esp"
    sealed(path, json.dumps(table).encode(), rest)
    start = time.process_time()
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"record":' * 5000,
        b'{"record":{},"order":[NaN]}',
        b"9" * 10_000,
        b"\xff\xfe",
    ],
    ids=range(8),
)
def test_texts_that_are_no_table_are_refused(sound, tmp_path, text):
    sealed(tmp_path / "a.esp", text, b"")
    refused(tmp_path / "a.esp")


@pytest.mark.parametrize("change", ["order", "record", "extra", "rows", "words"])
def test_tables_that_contradict_themselves_are_refused(sound, tmp_path, change):
    table, rest = taken_apart(sound / "mixed")
    if change == "order":
        table["order"] = [0, 0]
    elif change == "record":
        table["record"] = []
    elif change == "extra":
        table["code"] = "print()"
    elif change == "rows":
        table["levels"][0].append(1)
    else:
        table["words"] *= 2
    sealed(tmp_path / "a.esp", json.dumps(table).encode(), rest)
    assert "its table is wrong" in refused(tmp_path / "a.esp")


def test_a_table_that_unpacks_without_end_is_refused(sound, tmp_path):
    sealed(tmp_path / "a.esp", b" " * (1 << 23), b"")
    assert "its table is too long" in refused(tmp_path / "a.esp")


def test_a_tensor_of_zeros_larger_than_the_limit_is_refused_before_it_is_made(tmp_path):
    encode({"w": quantized(np.zeros((1, 1 << 20), np.int32))}, {}, tmp_path / "a.esp")
    assert (tmp_path / "a.esp").stat().st_size < 300
    assert not decode(tmp_path / "a.esp").tensors["w"].levels.any()
    assert "would take 4194308 bytes, and the limit here is 4194304" in refused(tmp_path / "a.esp", 1 << 22)
    assert decode(tmp_path / "a.esp", 4194308).tensors["w"].levels.shape == (1, 1 << 20)


def ends(zero_point):
    """Levels that reach both ends, -8 and 7, with these zero points."""
    levels = torch.tensor([[-8, 7, 0], [1, 2, 3], [7, -8, -1]], dtype=torch.int32)
    zero_point = torch.tensor(zero_point, dtype=torch.int32)
    return Quantized(levels, QParams(torch.ones(zero_point.shape), zero_point, -8, 7))


def flipped(place):
    def change(table, rest):
        rest[place(table)] ^= 1

    return change


CONTRADICTIONS = {
    "the scales of w do not fit its shape": lambda table, rest: table["levels"][0].__setitem__(4, [2, 1]),
    "its streams of words are not those of its tensors": lambda table, rest: table["words"].append(["bool", "xz", 0]),
    "its streams do not add up to its size": lambda table, rest: rest.append(0),
    "w does not decode to what was coded": flipped(lambda table: table["levels"][0][-1]),
    "the stream of int64 does not decode to what was coded": flipped(lambda table: -1),
    "w has zero points beyond its levels": lambda table, rest: table["levels"][0].__setitem__(3, 6),
    "v has levels beyond -8 to 6": lambda table, rest: table["levels"][1].__setitem__(3, 6),
    "v has levels beyond -7 to 7": lambda table, rest: table["levels"][1].__setitem__(2, -7),
}


@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_each_contradiction_is_told_in_its_own_words(tmp_path, said):
    tensors = {"w": ends([[-8], [0], [7]]), "v": ends(0), "n": torch.tensor(3)}
    encode(tensors, {}, tmp_path / "sound.esp")
    found = decode(tmp_path / "sound.esp").tensors
    assert all(same(found[name], tensors[name]) for name in tensors)
    table, rest = taken_apart(tmp_path / "sound.esp")
    rest = bytearray(rest)
    CONTRADICTIONS[said](table, rest)
    sealed(tmp_path / "a.esp", json.dumps(table).encode(), bytes(rest))
    told = refused(tmp_path / "a.esp")
    assert told == f"{tmp_path / 'a.esp'}: {said}. Copy it from its source again, or encode its run again"


def test_zero_points_below_the_lowest_level_are_told(tmp_path):
    encode({"w": ends([[-8], [0], [7]])}, {}, tmp_path / "a.esp")
    table, rest = taken_apart(tmp_path / "a.esp")
    table["levels"][0][2] = -7
    sealed(tmp_path / "a.esp", json.dumps(table).encode(), rest)
    assert "w has zero points beyond its levels" in refused(tmp_path / "a.esp")


def test_a_stream_that_decodes_to_other_levels_is_noticed(sound, tmp_path):
    for codec in CODECS:
        table, rest = taken_apart(sound / codec)
        length = table["levels"][0][-1]
        changed = bytearray(rest)
        changed[length // 2] ^= 4
        sealed(tmp_path / "a.esp", json.dumps(table).encode(), bytes(changed))
        refused(tmp_path / "a.esp")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path, data):
    for path, content in (
        (tmp_path / "a", data),
        (tmp_path / "b", container.MAGIC + bytes([container.VERSION]) + data),
    ):
        path.write_bytes(content)
        refused(path)
    sealed(tmp_path / "c", data, data)
    refused(tmp_path / "c")


def mutated(draw, table, rest):
    """A changed table, as text, and changed streams; a sound checksum goes around them."""
    text, rest = json.dumps(table).encode(), bytearray(rest)
    for _ in range(int(draw.integers(1, 4))):
        kind = int(draw.integers(6))
        if kind == 0:
            text = bytearray(text)
            text[draw.integers(len(text))] = draw.integers(32, 127)
        elif kind == 1 and rest:
            rest[draw.integers(len(rest))] ^= 1 << int(draw.integers(8))
        elif kind == 2 and rest:
            start = int(draw.integers(len(rest)))
            rest[start : start + 8] = draw.bytes(8)
        elif kind == 3 and rest:
            rest = rest[: int(draw.integers(len(rest)))]
        else:
            text = numbers_changed(draw, text)
    return bytes(text), bytes(rest)


def numbers_changed(draw, text):
    try:
        table = json.loads(text)
        rows = table[("levels", "plain", "words")[int(draw.integers(3))]]
        row = rows[int(draw.integers(len(rows)))]
        place = int(draw.integers(len(row)))
        value = (0, 1, -1, 2, 7, 255, 1 << 16, 1 << 31, 1 << 62)[int(draw.integers(9))]
        if isinstance(row[place], list) and row[place]:
            row[place][int(draw.integers(len(row[place])))] = value
        else:
            row[place] = row[place] + value if type(row[place]) is int else value
        return json.dumps(table).encode()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return text


def fuzz(sound, folder, files):
    """Decode so many mutated files: how many were refused, and how many decode, to what was coded."""
    refusals = unchanged = 0
    slowest = 0.0
    parts = {path.name: (*taken_apart(path), decode(path)) for path in sorted(sound.iterdir())}
    path = folder / "a.esp"
    for number in range(files):
        draw = np.random.default_rng(key("mutation", number))
        table, rest, contents = parts[sorted(parts)[number % len(parts)]]
        sealed(path, *mutated(draw, table, rest))
        start = time.process_time()
        try:
            found = decode(path, LIMIT)
        except ArtifactError:
            refusals += 1
        else:
            # What decodes in spite of a change to the table: another name, record or range, and the same levels.
            unchanged += 1
            for a, b in zip(found.tensors.values(), contents.tensors.values(), strict=True):
                assert same(_values(a), _values(b))
        slowest = max(slowest, time.process_time() - start)
    return refusals, unchanged, slowest


def _values(tensor):
    return (tensor.levels - tensor.qparams.zero_point if hasattr(tensor, "levels") else tensor).reshape(-1)


def test_mutated_files_are_refused_or_decode_to_the_same_levels(sound, tmp_path):
    refusals, unchanged, slowest = fuzz(sound, tmp_path, 300)
    assert refusals + unchanged == 300
    assert refusals > 200
    assert slowest < 3


@pytest.mark.slow
def test_ten_thousand_mutated_files(sound, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusals, unchanged, slowest = fuzz(sound, tmp_path, 12_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"12000 files, {refusals} refused, {unchanged} decoded to what was coded; slowest {slowest:.2f} s, +{grown} KiB"
    )
    assert refusals + unchanged == 12_000
    assert slowest < 5
    assert grown < 1 << 20
