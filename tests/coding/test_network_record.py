"""What a coded file says of its network beside the tensors: the record, its inputs' qparams, and bounds on memory."""

import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from espalier.coding import activations, state_dict
from espalier.coding.activations import merge, split
from espalier.coding.encoder import encode
from espalier.coding.memory_limit import Bounded
from espalier.coding.network_record import SCALE, ZERO_POINT, parse
from espalier.errors import ArtifactError, Damaged
from espalier.quantization.qparams import QParams
from support.coded_networks import network, quantized

LEAST = {
    "format": 1,
    "model": {"name": "mlp", "hidden": [4], "dropout": 0.0},
    "num_classes": 3,
    "image_size": 8,
    "floats": "fp32",
}
MORE = {
    "shapes": {"a": {"out_features": 0}},
    "folded": {"conv": "norm"},
    "activations": [[-65535, 65535], None],
    "dynamic": [None, 2, 16],
    "feed": {"channels": 1},
}


@pytest.mark.parametrize("found", [LEAST, LEAST | MORE])
def test_a_record_is_written_as_it_was_read_without_what_is_empty(found):
    assert parse(found).plain() == found
    assert parse(LEAST | {name: None if name == "shapes" else type(MORE[name])() for name in MORE}).plain() == LEAST


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "the format of its network is 2, and this version reads 1"),
        ({"format": "x" * 99}, f"the format of its network is '{'x' * 49}, and this version reads 1"),
        ({"num_classes": 0}, "num_classes: Input should be greater than or equal to 1"),
        ({"image_size": (1 << 20) + 1}, "image_size: Input should be less than or equal to 1048576"),
        ({"floats": "fp64"}, "floats: Input should be 'fp32' or 'fp16'"),
        ({"activations": [[1, 5]]}, "activations.0.0: Input should be less than or equal to 0"),
        ({"activations": [None, [-65536, 5]]}, "activations.1.0: Input should be greater than -65536"),
        ({"activations": [[0, 0]]}, "activations.0.1: Input should be greater than 0"),
        ({"activations": [[0, 65536]]}, "activations.0.1: Input should be less than 65536"),
        ({"dynamic": [1]}, "dynamic.0: Input should be greater than or equal to 2"),
        ({"dynamic": [17]}, "dynamic.0: Input should be less than or equal to 16"),
        ({"k" * 300: 1}, f"{'k' * 200}: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_record_is_told_by_the_place_in_it(change, said):
    with pytest.raises(Damaged) as caught:
        parse(LEAST | change)
    assert str(caught.value) == said


def test_what_is_said_of_a_wrong_record_is_short():
    with pytest.raises(Damaged) as caught:
        parse(LEAST | {"model": {"name": "no_such"}})
    said = str(caught.value)
    assert said.startswith("model: Input tag 'no_such' found using 'name' does not match any of the expected tags:")
    assert len(said) == len("model: ") + 200
    with pytest.raises(Damaged, match="the format of its network is None"):
        parse({})


def inputs(scale, zero_point, lowest, highest):
    return QParams(torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32), lowest, highest)


def test_qparams_of_inputs_are_two_tensors_and_their_ends_in_the_order_of_the_network():
    paths = ["stem", "body", "head"]
    found = {"head": inputs(0.5, 3, 0, 255), "stem": inputs(0.25, -7, -8, 7)}
    tensors, ends = merge(found, paths)
    assert tensors.keys() == {SCALE, ZERO_POINT} == {activations.SCALE, activations.ZERO_POINT}
    assert (tensors[SCALE].dtype, tensors[SCALE].tolist()) == (torch.float32, [0.25, 0.5])
    assert (tensors[ZERO_POINT].dtype, tensors[ZERO_POINT].tolist()) == (torch.int8, [-7, 3])
    assert ends == [(-8, 7), None, (0, 255)]
    back = split(tensors[SCALE], tensors[ZERO_POINT], ends, paths)
    assert list(back) == ["stem", "head"]
    for path, (scale, zero_point, *end) in back.items():
        assert (scale.shape, scale.dtype, zero_point.shape, zero_point.dtype) == ((), torch.float32, (), torch.int32)
        assert (scale, zero_point, *end) == (found[path].scale, found[path].zero_point, *found[path][2:])


@pytest.mark.parametrize(
    ("zero_points", "dtype"),
    [
        ([0, 255], torch.uint8), ([-1, 127], torch.int8), ([-128, 0], torch.int8), ([-1, 128], torch.int16),
        ([0, 256], torch.int16), ([-32768, 32767], torch.int16), ([0, 32768], torch.int32), ([-32769], torch.int32),
    ],
)  # fmt: skip
def test_zero_points_of_inputs_take_the_narrowest_integers(zero_points, dtype):
    found = {str(place): inputs(1.0, one, -65535, 65535) for place, one in enumerate(zero_points)}
    tensor = merge(found, list(found))[0][ZERO_POINT]
    assert (tensor.dtype, tensor.tolist()) == (dtype, zero_points)


def test_a_network_without_qparams_of_inputs_has_no_tensors_for_them():
    assert merge({}, ["stem"]) == ({}, [])
    assert split(None, None, [], ["stem"]) == {}


SCALES, ZEROS = torch.ones(1), torch.zeros(1, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("scales", "zero_points", "ends", "said"),
    [
        (SCALES, None, [], "it has qparams of inputs and no levels for them"),
        (None, ZEROS, [], "it has qparams of inputs and no levels for them"),
        (SCALES, None, [(0, 7)], "it lacks qparams of inputs"),
        (None, ZEROS, [(0, 7)], "it lacks qparams of inputs"),
        (SCALES.double(), ZEROS, [(0, 7)], "it lacks qparams of inputs"),
        (SCALES, ZEROS.float(), [(0, 7)], "it lacks qparams of inputs"),
        (SCALES, ZEROS, [(0, 7), None], "zip() argument 2 is longer than argument 1"),
        (SCALES, ZEROS, [None], "zip() argument 2 is longer than argument 1"),
        (SCALES, ZEROS.repeat(2), [(0, 7)], "zip() argument 3 is longer than arguments 1-2"),
    ],
)
def test_qparams_of_inputs_that_do_not_go_together_are_refused(scales, zero_points, ends, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        split(scales, zero_points, ends, ["stem"])


MAKERS = {
    "empty": lambda: torch.empty(250), "zeros": lambda: torch.zeros(250), "ones": lambda: torch.ones(250),
    "full": lambda: torch.full((250,), 1.0), "rand": lambda: torch.rand(250), "randn": lambda: torch.randn(250),
    "arange": lambda: torch.arange(125), "tensor": lambda: torch.tensor([1.0] * 250),
    "of a type": lambda: torch.zeros(125, dtype=torch.float64),
}  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_bytes_of_new_tensors_are_counted_up_to_the_limit(make):
    with Bounded(2000):
        first = MAKERS[make]()
        # A view, a sum and what is no tensor make nothing that a file could ask for.
        assert first.reshape(5, -1).add(1).size() != torch.zeros(0).size()
        MAKERS[make]()
    with Bounded(1999):
        MAKERS[make]()
        with pytest.raises(Damaged, match=r"^its network would take more than 1999 bytes, the limit here$"):
            MAKERS[make]()


def test_a_state_dict_has_the_numbers_of_all_tensors_but_those_of_inputs(tmp_path):
    tensors = network() | {SCALE: torch.ones(1), ZERO_POINT: torch.zeros(1, dtype=torch.uint8)}
    encode(tensors, LEAST, tmp_path / "a.esp")
    assert state_dict.write(tmp_path / "a.esp", tmp_path / "a.safetensors") == parse(LEAST)
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == network().keys()
    for name, one in network().items():
        wanted = one.dequantize() if hasattr(one, "levels") else one
        wanted = wanted.float() if wanted.dtype in (torch.float16, torch.bfloat16) else wanted
        assert found[name].dtype == wanted.numpy().dtype
        np.testing.assert_array_equal(found[name], wanted.numpy())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.esp", "a.safetensors"]


def test_a_file_of_no_network_makes_no_state_dict(tmp_path):
    path = tmp_path / "a.esp"
    encode({"w": quantized(np.ones((2, 2), np.int32))}, {"format": 9}, path)
    said = f"{path}: the format of its network is 9, and this version reads 1. Copy it from its source again"
    with pytest.raises(ArtifactError, match=f"^{re.escape(said)}"):
        state_dict.write(path, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == [path]
