"""The decoder in C: the same bits as the library's of every file, and one line for a file that is damaged or harms."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import load_file

from espalier.coding import activations, byte_planes, container
from espalier.coding.codecs import CODECS
from espalier.coding.decoder import decode
from espalier.coding.encoder import encode
from espalier.coding.xz import compress, decompress
from espalier.errors import ArtifactError
from espalier.metrics.cost import weighted
from espalier.models.rules import smallest
from espalier.networks import coded_network
from espalier.networks.network import Network
from espalier.pruning.shapes import shapes
from espalier.pruning.structured import prune
from espalier.quantization.qparams import QParams, Quantized
from espalier.quantization.quantized import Quantization
from espalier.quantization.weights import nearest
from espalier.seeding import key
from espalier.settings.registry import choice, entries
from support.coded_networks import RECORD, image_weights, network, quantized, same, sealed, sparse, taken_apart

SOURCE = Path(__file__).parents[2] / "decoder/espalier_decode.c"
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-fsanitize=address,undefined"]
MEMORY = 1 << 26
LIMIT = 1 << 24
FAMILIES = {
    "mlp": {"name": "mlp", "hidden": [24, 16]},
    "lenet": {"name": "lenet"},
    "densenet": {"name": "densenet", "blocks": [1, 1], "growth_rate": 8},
    "cct": {"name": "cct", "layers": 2, "dim": 32, "heads": 2},
    "resnet": {"name": "resnet", "blocks": [1, 1], "channels": [8, 16]},
    "squeezenet": {"name": "squeezenet", "version": "1.1"},
}
WIDE = (torch.float16, torch.bfloat16)
# A process counts the memory of the one that began it as its own: a small one stands between.
BETWEEN = """import os, sys
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(used.ru_maxrss, used.ru_utime)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler: cc")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The decoder with every check that the compiler can put into it."""
    made = tmp_path_factory.mktemp("decoder") / "espalier_decode"
    subprocess.run(["cc", *FLAGS, "-DESPALIER_MAIN", SOURCE, "-o", made], check=True)
    return made


def run(program, *words, memory=MEMORY, before=()):
    """Exit code, what is printed, what is told as wrong; anything but an end of its own is an error."""
    command = [*before, program, *words, "--memory", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode in (0, 2), done.stderr[-3000:]
    assert "runtime error" not in done.stderr and "Sanitizer" not in done.stderr, done.stderr[-3000:]
    return done.returncode, done.stdout, done.stderr


def state_of(tensors):
    """A file's tensors as a state dict in fp32."""
    found = {name: one.dequantize() if isinstance(one, Quantized) else one for name, one in tensors.items()}
    return {
        name: one.float() if one.dtype in WIDE else one
        for name, one in found.items()
        if name not in (activations.SCALE, activations.ZERO_POINT)
    }


def levels_of(tensors):
    """A file's tensors as levels, scales and zero points."""
    found = {}
    for name, one in tensors.items():
        if not isinstance(one, Quantized):
            found[name] = one
            continue
        parts = one.levels, one.qparams.scale, one.qparams.zero_point
        found |= {f"{name}:{part}": each for part, each in zip(("levels", "scale", "zero_point"), parts, strict=True)}
    return found


def compare(program, path, memory=MEMORY):
    """Both outputs of the program are the library's contents; how many tensors were compared."""
    contents, output = decode(path), path.with_suffix(".safetensors")
    compared = 0
    # The state comes last, and stays for whoever called.
    for words, wanted in ((["--levels"], levels_of(contents.tensors)), ([], state_of(contents.tensors))):
        code, _, said = run(program, path, output, *words, memory=memory)
        assert code == 0, said
        found = load_file(output)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert same(found[name], tensor), f"{path}: {name}"
        compared += len(wanted)
        with safe_open(output, "pt") as file:
            assert json.loads(file.metadata()["espalier"])["record"] == contents.record
    return compared


def coded(program, folder, tensors, allowed=CODECS, record=RECORD):
    encode(tensors, record, folder / "a.esp", allowed)
    return compare(program, folder / "a.esp")


def uneven(levels, bits, axis):
    """Levels from 0 on, with zero points of their own."""
    made = quantized(levels, bits, axis)
    top = 2**bits - 1
    draw = np.random.default_rng(key("zero points", bits))
    zero_point = torch.from_numpy(draw.integers(0, top + 1, made.qparams.scale.shape).astype(np.int32))
    qparams = QParams(made.qparams.scale, zero_point, 0, top)
    return Quantized((made.levels + zero_point).clamp(0, top), qparams)


def test_every_kind_of_tensor(program, tmp_path):
    assert coded(program, tmp_path, network()) > 30


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_and_codec(program, tmp_path, codec, bits):
    tensors = {}
    for place, axis in enumerate((None, 0, 1)):
        for density in (0.05, 0.6, 1.0):
            levels = sparse((40, 33, 3, 1), bits, density, codec, bits, place)
            tensors[f"even{place}.{density:g}".replace(".", "_")] = quantized(levels, bits, axis)
            tensors[f"uneven{place}.{density:g}".replace(".", "_")] = uneven(levels, bits, axis)
    coded(program, tmp_path, tensors, (codec,))
    table, _ = taken_apart(tmp_path / "a.esp")
    assert {CODECS[row[6]] for row in table["levels"]} >= {codec}


@pytest.mark.parametrize(("rows", "channels", "width"), [(12, 196, 14), (40, 320, 8), (60, 49, 7), (1, 36, 6)])
def test_a_layer_behind_an_image(program, tmp_path, rows, channels, width):
    tensors = {"a": quantized(image_weights(rows, channels, width))}
    coded(program, tmp_path, tensors | {"b": quantized(sparse((rows, channels), 4, 0.3, width), 4)}, ("mixed",))
    table, _ = taken_apart(tmp_path / "a.esp")
    assert (table["levels"][0][9][3] == width) == (1 < rows < channels)


@pytest.mark.parametrize("codec", CODECS)
def test_odd_shapes_and_empty_ones(program, tmp_path, codec):
    shapes = [
        (),
        (1,),
        (0,),
        (7,),
        (1, 1),
        (1, 200),
        (200, 1),
        (0, 3),
        (3, 0),
        (5, 0, 2),
        (3, 5, 7),
        (2, 3, 1, 4, 1, 2),
    ]
    shapes += [(257, 3), (2, 2, 2, 2, 2, 2, 2, 2), (1, 1, 3, 3)]
    tensors = {}
    for number, shape in enumerate(shapes):
        levels = np.resize(np.array([0, 3, 0, -5, 7, 0, 0], np.int32), shape)
        tensors[f"q{number}"] = quantized(levels)
        tensors[f"p{number}.weight"] = torch.randn(shape)
        tensors[f"h{number}.weight"] = torch.randn(shape).half()
        if len(shape) > 1:
            tensors[f"c{number}"] = quantized(levels, axis=len(shape) - 1)
    coded(program, tmp_path, tensors, (codec,))
    coded(program, tmp_path, {"none": torch.zeros(0, 2, dtype=torch.int16)})
    coded(program, tmp_path, {}, record={})


def test_magnitudes_of_every_span(program, tmp_path):
    tensors = {}
    for number, (least, greatest) in enumerate([(1, 1), (5, 5), (1, 2), (3, 40), (1, 127), (100, 131), (1, 65535)]):
        draw = np.random.default_rng(key("magnitudes", number))
        levels = draw.integers(least, greatest + 1, (60, 50)) * draw.choice([-1, 0, 0, 1], (60, 50))
        levels[0, :2] = least, greatest
        tensors[f"w{number}"] = quantized(levels.astype(np.int32), 17)
    coded(program, tmp_path, tensors, ("mixed",))


def test_pruned_layers_that_share_their_rows(program, tmp_path):
    draw = np.random.default_rng(key("shared rows"))
    live, tensors = draw.random(96) < 0.4, {}
    for number in range(14):
        # Twelve of them take the length more often than it is remembered.
        width = 96 if number % 3 else 48
        levels = sparse((96, width, 3, 3) if number % 2 else (96, width), 8, 0.3, "shared", number)
        levels[~live] = 0
        if width == 96:
            levels[:, ~live] = 0
        tensors[f"layer{number}.weight"] = quantized(levels, axis=0)
        tensors[f"layer{number}.bias"] = torch.from_numpy(np.where(live, draw.normal(size=96), 0).astype(np.float32))
    coded(program, tmp_path, tensors)
    table, _ = taken_apart(tmp_path / "a.esp")
    assert sum(CODECS[row[6]] == "mixed" for row in table["levels"]) > 9


@pytest.mark.parametrize("codec", ["range", "xz"])
def test_words_of_many_parts_and_both_codecs(program, tmp_path, codec, monkeypatch):
    # The shorter is taken: the other is made long.
    monkeypatch.setattr(byte_planes, "encode_range" if codec == "xz" else "encode_xz", lambda *_: bytes(1 << 24))
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for number in range(20):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int8, torch.uint8):
            values = torch.randn(300 + 40 * (number % 3), generator=draw) * 30
            tensors[f"a{number}.{str(dtype)[6:]}.part{number}"] = values.to(dtype)
    tensors["odd"] = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    coded(program, tmp_path, tensors)
    table, _ = taken_apart(tmp_path / "a.esp")
    assert {row[1] for row in table["words"]} == {codec}


def made(settings, size, bits=None, inputs=True, ratio=0.0):
    """A network as it would be coded: channels and weights pruned, and quantized where `bits` says so."""
    chosen = TypeAdapter(choice("model")).validate_python(settings)
    torch.manual_seed(0)
    model = chosen.build(10, size)
    model = (prune(model, size, ratio) if ratio else model).eval()
    weights, inputs_of = {}, {}
    with torch.no_grad():
        for number, (path, layer) in enumerate(weighted(model).items()):
            layer.weight[layer.weight.abs() < layer.weight.abs().median() * 1.5] = 0
            layer.weight[0] = 0
            if bits:
                granularity = "tensor" if number % 3 == 2 else "channel"
                weights[path] = nearest(layer.weight, bits, granularity, symmetric=number % 2 == 0)
                layer.weight.copy_(weights[path].dequantize())
                scale, zero_point = torch.tensor(0.02 + number / 1000), torch.tensor(number % 16, dtype=torch.int32)
                inputs_of[path] = QParams(scale, zero_point, 0, 15)
    quantization = Quantization(weights, inputs_of if inputs else {}, {}) if bits else None
    return Network(model, chosen, 10, size, shapes(model) if ratio else None, quantization)


CODED = [(bits, how) for bits in (None, 3, 8) for how in ((False, "fp32"), (True, "fp16"))]


@pytest.mark.parametrize(
    ("family", "bits", "how"),
    # SqueezeNet is by far the largest, also with channels pruned: it has all that the others lack with one of each.
    [(name, *each) for name in FAMILIES for each in (CODED if name != "squeezenet" else [CODED[0], CODED[-1]])],
)
def test_networks_are_those_of_the_command(program, tmp_path, family, bits, how):
    fold, floats = how
    tensors, record = coded_network.tensors_of(
        made(FAMILIES[family], 32, bits, ratio=0.7 if family == "squeezenet" else 0.0), fold, floats
    )
    path = tmp_path / "model.esp"
    encode(tensors, record, path)
    compare(program, path)
    found, wanted = load_file(path.with_suffix(".safetensors")), coded_network.load(path).model.state_dict()
    assert found.keys() == wanted.keys()
    assert all(same(found[name], wanted[name].contiguous()) for name in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(entries("model")))
def test_every_network_of_the_registry(program, tmp_path, name):
    size = max(16, smallest(entries("model")[name]))
    path, compared = tmp_path / "model.esp", 0
    for bits, fold, floats in ((4, False, "fp32"), (8, True, "fp16")):
        tensors, record = coded_network.tensors_of(made({"name": name}, size, bits), fold, floats)
        encode(tensors, record, path)
        compared += compare(program, path, 1 << 30)
    print(f"{name}: {compared} tensors, {path.stat().st_size} bytes")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small file with a stream of every codec."""
    folder = tmp_path_factory.mktemp("sound")
    for codec in CODECS:
        tensors = {f"w{part}": quantized(sparse((30, 20), 8, 0.2, codec, part), axis=0) for part in range(3)}
        encode(tensors | {"b": torch.randn(30), "c": torch.ones(400)}, RECORD, folder / codec, (codec,))
    encode(network(), RECORD, folder / "all")
    return folder


def test_the_file_is_short_enough_to_be_read():
    lines = SOURCE.read_text().splitlines()
    assert len(lines) < 1300
    assert max(map(len, lines)) <= 120


def test_many_files_at_once_and_one_of_them_damaged(program, sound, tmp_path):
    (tmp_path / "bad").write_bytes((sound / "all").read_bytes()[:-1])
    words = [
        each
        for path in (sound / "mixed", tmp_path / "bad", sound / "all")
        for each in (path, tmp_path / f"{path.name}.st")
    ]
    code, told, wrong = run(program, *words)
    assert (code, told) == (2, "")
    assert wrong == f"{tmp_path / 'bad'}: its checksum is wrong\n"
    for name in ("mixed", "all"):
        assert load_file(tmp_path / f"{name}.st").keys() == state_of(decode(sound / name).tensors).keys()


def test_the_record_is_passed_on_whatever_its_strings_hold(program, tmp_path):
    record = RECORD | {"model": {"name": 'a]}"\\', "b": ["},{\\", '\\"', "\u00e9\n\x7f"]}, "words": [[], {}]}
    coded(program, tmp_path, network(), record=record)


@pytest.mark.parametrize(
    ("part", "place", "value", "said"),
    [
        ("plain", 1, [1 << 29], "its tensors would take"),
        ("levels", 1, [1 << 30] * 4, "a shape beyond 2^56"),
        ("levels", 1, [1] * 9, "more than 8 sizes"),
        ("levels", 1, [-1, 20], "a size"),
        ("levels", 1, [20, 30], "do not fit its shape"),
        ("levels", 0, "../w", "no tensor can be named so"),
        ("levels", 0, "b", "two tensors are named b"),
        ("levels", 4, [30], "do not fit its shape"),
        ("levels", 6, 2, "no such codec"),
        ("levels", 7, 1 << 40, "low"),
        ("levels", 9, [1, 127] + [0] * 10, "settings of another codec"),
        ("levels", 9, [1, 127], "a setting"),
        ("levels", 9, [1, 2, 35, 0], "a setting"),
        ("levels", 9, [1, 1 << 20, 0, 0], "a setting"),
        ("levels", 9, [9, 8, 0, 0], "a setting"),
        ("levels", 9, [0, 8, 0, 0], "a setting"),
        ("levels", 9, [1, 8, 0, 1 << 16], "a setting"),
        ("levels", 10, 1 << 30, "do not add up"),
        ("plain", 2, "float64", "streams of words are not those"),
        ("plain", 2, "object", "no such type"),
        ("words", 1, "pickle", "no such codec"),
    ],
)
def test_what_is_wrong_is_one_line(program, sound, tmp_path, part, place, value, said):
    table, rest = taken_apart(sound / "mixed")
    table[part][0][place] = value
    sealed(tmp_path / "a.esp", json.dumps(table, separators=(",", ":")).encode(), rest)
    with pytest.raises(ArtifactError):
        decode(tmp_path / "a.esp", LIMIT)
    code, _, told = run(program, tmp_path / "a.esp", tmp_path / "out", "--limit", str(LIMIT))
    assert code == 2
    assert told.startswith(f"{tmp_path / 'a.esp'}: ") and told.count("\n") == 1
    assert said in told
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_or_too_large_is_told(program, sound, tmp_path):
    path = tmp_path / "a.esp"
    data = bytearray((sound / "all").read_bytes())
    for content, said in ((b"", "no .esp file"), (data[:20], "cut short"), (data[:-1], "checksum is wrong")):
        path.write_bytes(content)
        assert said in run(program, path, tmp_path / "out")[2]
    path.write_bytes(data[:4] + b"\x01" + data[5:])
    assert "its format is 1, and this version reads 3" in run(program, path, tmp_path / "out")[2]
    assert "No such file" in run(program, tmp_path / "missing", tmp_path / "out")[2]
    assert "more than 100 bytes, the limit here" in run(program, sound / "all", tmp_path / "out", "--limit", "100")[2]
    assert "bytes of memory given" in run(program, sound / "all", tmp_path / "out", memory=20_000)[2]
    assert "cannot be written" in run(program, sound / "all", tmp_path / "no/out")[2]
    for words in ((), (sound / "all",), (sound / "all", tmp_path / "out", "--unknown"), (sound / "all", path)):
        assert "usage" in run(program, *words)[2]
    assert path.read_bytes()[4] == 1, "an .esp was written over"
    for text in (
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"levels":[NaN]}',
        b"9" * 10_000,
        b"\xff\xfe",
        b'{"levels":[],"x":1}',
    ):
        sealed(path, text, b"")
        assert "table" in run(program, path, tmp_path / "out")[2]


def test_a_table_that_is_cut_anywhere_is_told(program, sound, tmp_path):
    table, rest = taken_apart(sound / "mixed")
    text = json.dumps(table, separators=(",", ":")).encode()
    words = []
    for end in range(len(text)):
        sealed(tmp_path / f"{end}", text[:end], rest)
        words += [tmp_path / f"{end}", tmp_path / "out"]
    _, _, wrong = run(program, *words)
    assert wrong.count(": its table is wrong at byte ") == wrong.count("\n") == len(text)


def mutated(draw, file):
    """A changed file. Mostly a sound checksum goes around it, and lengths are made right, so that all of it is read."""
    version, packed = file[4], int.from_bytes(file[5:9], "little")
    unpacked, body = int.from_bytes(file[9:13], "little"), bytearray(file[container.HEADER_BYTES :])
    table, rest = json.loads(decompress(bytes(body[:packed]), 1 << 22)), body[packed:]
    part = draw.choice(["table", "numbers", "stream", "stream", "packed", "file"])
    for _ in range(int(draw.integers(1, 4))):
        if part == "stream":
            rows = [*table["levels"], *table["words"]]
            chosen = int(draw.integers(len(rows)))
            start = sum(row[-1] + container.CRC_BYTES for row in rows[:chosen])
            one = rest[start : start + rows[chosen][-1]]
            rest[start : start + rows[chosen][-1]] = _bytes_changed(draw, one)
            rows[chosen][-1] = len(one)
    text = bytearray(json.dumps(table, separators=(",", ":")).encode())
    if part == "numbers":
        text = _numbers_changed(draw, text)
    elif part == "table":
        _bytes_changed(draw, text)
    elif part == "packed":
        return _sealed(version, bytes(_bytes_changed(draw, body[:packed])), unpacked, bytes(rest))
    elif part == "file":
        return _bytes_changed(draw, bytearray(file))
    return _sealed(version, compress(bytes(text)), len(text), bytes(rest))


def _bytes_changed(draw, data):
    """Bits flipped, bytes put in, taken away, set to ends of what they hold, or cut off; in place."""
    kind, place = int(draw.integers(6)), int(draw.integers(max(len(data), 1)))
    if kind < 2 and data:
        data[place] ^= 1 << int(draw.integers(8))
    elif kind == 2:
        data[place:place] = draw.bytes(int(draw.integers(1, 9)))
    elif kind == 3:
        del data[place : place + int(draw.integers(1, 9))]
    elif kind == 4:
        data[place : place + 4] = draw.choice([0, 1, 255, 0x7FFFFFFF, 0xFFFFFFFF]).astype("<u4").tobytes()
    else:
        del data[place:]
    return data


def _sealed(version, packed, unpacked, rest):
    front = container._FRONT.pack(container.MAGIC, version, len(packed), unpacked)
    return front + hashlib.sha256(front + packed + rest).digest() + packed + rest


def _numbers_changed(draw, text):
    """A number of the table is another, and often a stream's length makes up for what its neighbour lost."""
    try:
        table = json.loads(text)
        rows = table[("levels", "plain", "words")[int(draw.integers(3))]]
        row = rows[int(draw.integers(len(rows)))]
        place = int(draw.integers(len(row)))
        value = (0, 1, -1, 2, 3, 4, 7, 64, 255, 1 << 16, 1 << 31, 1 << 62)[int(draw.integers(12))]
        if draw.random() < 0.3 and len(rows) > 1:
            rows[0][-1], rows[1][-1] = rows[0][-1] + value, rows[1][-1] - value
        elif isinstance(row[place], list) and row[place]:
            row[place][int(draw.integers(len(row[place])))] = value
        else:
            row[place] = row[place] + value if type(row[place]) is int else value
        return json.dumps(table, separators=(",", ":")).encode()
    except (ValueError, KeyError, IndexError, TypeError):
        return text


def _is_json(path):
    """Whether the table in the output is JSON, which only its record may keep from being."""
    with safe_open(path, "pt") as file:
        text = file.metadata()["espalier"]
    try:
        return bool(json.loads(text, parse_constant=container._refuse))
    except ValueError:
        return False


def fuzz(program, sound, folder, numbers):
    """Decode mutated files in one process: how many decode, what is said of the others, how many s, and KiB.

    What decodes here is what the library decodes. What the library refuses is refused here, but for a record that is no
    JSON, which is passed on unread.
    """
    parts = [path.read_bytes() for path in sorted(sound.iterdir())]
    paths = [folder / f"{number}.esp" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        path.write_bytes(mutated(np.random.default_rng(key("mutation in C", number)), parts[number % len(parts)]))
    outputs = [path.with_suffix(".st") for path in paths]
    words = [each for pair in zip(paths, outputs, strict=True) for each in pair]
    before = [sys.executable, "-S", "-c", BETWEEN]
    _, told, wrong = run(program, *words, "--levels", "--limit", str(LIMIT), before=before)
    used, seconds = told.split()
    decoded = [path for path in paths if path.with_suffix(".st").exists()]
    assert len(decoded) + wrong.count("\n") == len(paths)
    for path in decoded:
        if not _is_json(path.with_suffix(".st")):
            with pytest.raises(ArtifactError):
                decode(path, LIMIT)
            continue
        wanted, found = levels_of(decode(path, LIMIT).tensors), load_file(path.with_suffix(".st"))
        assert found.keys() == wanted.keys()
        assert all(same(found[name], wanted[name]) for name in wanted), path
    for path in paths:
        path.unlink()
        path.with_suffix(".st").unlink(missing_ok=True)
    return len(decoded), wrong.splitlines(), float(seconds), int(used)


def test_mutated_files_are_refused_or_decode_as_the_library_decodes_them(program, sound, tmp_path):
    decoded, wrong, _, used = fuzz(program, sound, tmp_path, range(400))
    assert used < 1 << 18
    assert decoded + len(wrong) == 400
    assert decoded > 5 and len(wrong) > 300


@pytest.mark.slow
def test_twenty_thousand_mutated_files(program, sound, tmp_path):
    decoded, wrong, slowest, most, start = 0, Counter(), 0, 0, time.time()
    for first in range(1000, 21_000, 100):
        some, told, longest, used = fuzz(program, sound, tmp_path, range(first, first + 100))
        decoded, slowest, most = decoded + some, max(slowest, longest), max(most, used)
        wrong.update(" ".join(line.split(": ", 1)[1].split()[:6]) for line in told)
    print(
        f"20000 files, {decoded} decoded, {wrong.total()} refused; slowest hundred {slowest:.1f} s, at most {most} KiB"
    )
    print(f"{time.time() - start:.0f} s in all; reasons: {wrong.most_common(60)}")
    assert decoded + wrong.total() == 20_000
    assert slowest < 5
    assert most < 1 << 18
