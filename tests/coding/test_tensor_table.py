"""The table of a coded file: what stands in it, and what is said of one that is wrong."""

import re

import numpy as np
import pytest
import torch

from espalier.coding.encoder import centred, encode
from espalier.coding.tensor_table import broadcasts, parse
from espalier.errors import Damaged
from espalier.quantization.qparams import QParams, Quantized
from support.coded_networks import quantized, sparse, taken_apart

LEVELS = ["a.w", [2, 3], -7, 7, [], False, 0, -3, 4, [], 3]
TABLE = {
    "record": {"x": 1},
    "order": [0, 1],
    "levels": [LEVELS],
    "plain": [["b", [2], "float32"]],
    "words": [["scale", "xz", 8], ["float32", "range", 12]],
}


def changed(part: str, row: int, place: int, value: object) -> dict:
    rows = [list(each) for each in TABLE[part]]
    rows[row][place] = value
    return TABLE | {part: rows}


def refused(table: object) -> str:
    with pytest.raises(Damaged) as caught:
        parse(table)
    return str(caught.value)


def test_a_table_is_read_and_written_alike():
    table = parse(TABLE)
    assert (table.levels[0].shape, table.levels[0].scale_shape, table.levels[0].bytes) == ((2, 3), (), 3)
    text = table.text()
    assert [list(text[part][0]) for part in ("levels", "plain", "words")] == [
        [*LEVELS[:1], (2, 3), *LEVELS[2:4], (), *LEVELS[5:9], (), 3],
        ["b", (2,), "float32"],
        ["scale", "xz", 8],
    ]
    assert (text["record"], text["order"]) == ({"x": 1}, [0, 1])


def test_a_wrong_field_is_told_by_its_place():
    wrong = "its table is wrong: "
    assert refused(changed("levels", 0, 6, 2)) == f"{wrong}levels.0.codec Input should be less than 2"
    assert refused(changed("words", 1, 1, "zip")) == f"{wrong}words.1.codec Input should be 'xz' or 'range'"
    assert refused(changed("plain", 0, 0, "a.w")) == f"{wrong} Value error, two tensors have one name"
    assert refused(TABLE | {"order": [0, 0]}) == f"{wrong} Value error, the order is not that of the tensors"
    twice = f"{wrong} Value error, two streams of words are of one kind"
    assert refused(changed("words", 1, 0, "scale")) == twice
    assert refused(changed("plain", 0, 0, "../b")) == f"{wrong}plain Value error, no tensor can be named '../b'"
    assert refused(TABLE | {"plain": [["b"]]}) == f"{wrong}plain.0 Value error, a row has another length"
    assert refused([]) == f"{wrong} Input should be a valid dictionary or instance of Table"


def test_what_is_said_has_no_more_than_200_letters_of_a_name():
    said = refused(changed("plain", 0, 0, "/" * 500))
    assert said == f"its table is wrong: plain Value error, no tensor can be named '{'/' * 80}'"
    said = refused(TABLE | {"n" * 300: 1})
    assert said == f"its table is wrong: {'n' * 200} Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("shape", "good"),
    [
        ([1 << 28, 1 << 28], True),
        ([0, 1 << 28, 1 << 28], True),
        ([0, 0, 0], True),
        ([1 << 28, 1 << 28, 2], False),
        ([0, 1 << 28, 1 << 28, 2], False),
        ([(1 << 28) + 1, 1 << 28], False),
    ],
)
def test_a_shape_has_at_most_2_to_the_56_elements_if_a_size_of_0_counts_as_1(shape, good):
    table = changed("plain", 0, 1, shape)
    if good:
        assert parse(table).plain[0].shape == tuple(shape)
    else:
        assert refused(table) == "its table is wrong: plain.0.shape Value error, a shape is beyond 2^56"


@pytest.mark.parametrize(
    ("inner", "outer", "fits"),
    [
        ((), (), True), ((), (3, 4), True), ((3, 1), (3, 4), True), ((1, 4), (3, 4), True), ((3, 4), (3, 4), True),
        ((4,), (3, 4), False), ((1, 3, 4), (3, 4), False), ((3, 3), (3, 4), False), ((2, 1), (3, 4), False),
        ((0,), (0,), True), ((1,), (0,), True), ((1,), (), False),
    ],
)  # fmt: skip
def test_scales_fit_levels_place_by_place(inner, outer, fits):
    assert broadcasts(inner, outer) is fits


def made(levels, scale, zero_point, lowest=-7, highest=7):
    return Quantized(
        torch.as_tensor(levels), QParams(torch.as_tensor(scale), torch.as_tensor(zero_point), lowest, highest)
    )


LEVEL = torch.tensor([[1, -7, 0], [7, 2, 3]], dtype=torch.int32)
ZERO = torch.zeros((), dtype=torch.int32)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (made(LEVEL, torch.ones((), dtype=torch.float64), ZERO), "scale and zero point"),
        (made(LEVEL, torch.ones(2, 1), ZERO), "scale and zero point"),
        (made(LEVEL, torch.ones(3), torch.zeros(3, dtype=torch.int32)), "scale and zero point"),
        (made(LEVEL, torch.ones(()), ZERO, -6, 7), "levels or zero points"),
        (made(LEVEL, torch.ones(()), ZERO, -7, 6), "levels or zero points"),
        (made(LEVEL.float(), torch.ones(()), ZERO), "levels or zero points"),
        (made(LEVEL, torch.ones(()), torch.zeros(())), "levels or zero points"),
        (made(LEVEL, torch.ones(()), ZERO - 8), "levels or zero points"),
        (made(LEVEL, torch.ones(()), ZERO + 8), "levels or zero points"),
    ],
)
def test_levels_that_do_not_fit_their_scale_or_ends_are_not_written(tmp_path, tensor, said):
    texts = {
        "scale and zero point": "scale and zero point are not float32 and integers of a shape that fits the levels",
        "levels or zero points": f"levels or zero points are not whole numbers from {tensor.qparams.lowest} to "
        f"{tensor.qparams.highest}",
    }
    with pytest.raises(ValueError, match=f"^{re.escape(f'net.w: {texts[said]}')}$"):
        encode({"net.w": tensor}, {}, tmp_path / "a.esp")
    assert not (tmp_path / "a.esp").exists()


def test_levels_are_coded_less_their_zero_points():
    zero_point = torch.tensor([[3], [-7]], dtype=torch.int8)
    found = centred("w", made(LEVEL.to(torch.int8), torch.ones(2, 1), zero_point))
    assert (found.dtype, found.tolist()) == (np.int32, [[-2, -10, -3], [14, 9, 10]])


def test_a_tensor_of_a_type_that_the_format_lacks_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"^net\.w: a coded model cannot hold torch\.complex64$"):
        encode({"net.w": torch.zeros(2, dtype=torch.complex64)}, {}, tmp_path / "a.esp")


def test_only_the_codecs_allowed_are_taken(tmp_path):
    levels = sparse((60, 50), 8, 0.1, "allowed")
    for allowed, codec in ((("dense",), 0), (("dense", "mixed"), 1), (("mixed",), 1)):
        encode({"w": quantized(levels)}, {}, tmp_path / "a.esp", allowed)
        row = taken_apart(tmp_path / "a.esp")[0]["levels"][0]
        assert row[:9] == ["w", [60, 50], -127, 127, [], False, codec, levels.min(), levels.max()]
