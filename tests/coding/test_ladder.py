"""The usual ways to keep levels, each counted again by hand."""

import io
import lzma
import zlib

import numpy as np
import pytest
import torch

from espalier.coding import codecs
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.coding.entropy import bound_bytes, conditional_bytes
from espalier.coding.ladder import ladder, relative_index
from espalier.coding.xz import compress
from espalier.quantization.qparams import QParams, Quantized


def quantized(levels, highest=127):
    zero = torch.zeros((), dtype=torch.int32)
    return Quantized(torch.tensor(levels, dtype=torch.int32), QParams(torch.tensor(0.1), zero, -highest, highest))


WEIGHT = [[0, 3, 0, 0], [0, 0, -7, 0], [1, 0, 0, 120]]
TENSORS = {
    "conv.weight": quantized(WEIGHT),
    "bn.running_mean": torch.zeros(9),
    "bn.running_var": torch.ones(9),
    "bn.num_batches_tracked": torch.tensor(4),
    "bn.bias": torch.zeros(5),
}
MATRIX = np.array(WEIGHT)


def rungs(tensors=TENSORS, coded=None):
    return {rung.method: rung for rung in ladder(tensors, coded)}


def test_dense_and_theoretical_sizes_have_the_other_parameters_beside_them():
    found = rungs()
    # Statistics of normalization are no parameters.
    assert found["dense fp32"][1:] == (12 * 4, 5 * 4)
    # Four values of 8 bits, with 16 bits for the place of each.
    assert found["theoretical: non-zeros, 16-bit indices"][1:] == (4 * (1 + 2), 5 * 4)
    assert all(rung.others is None for method, rung in found.items() if method[:5] not in ("dense", "theor"))


def test_general_compressors_get_a_byte_a_level_and_two_where_one_is_not_enough():
    found = rungs()
    assert found["zlib -9"].levels == len(zlib.compress(MATRIX.astype("i1").tobytes(), 9))
    both = rungs(TENSORS | {"fc.weight": quantized([[128, 0], [-128, 5]], 32767)})
    data = MATRIX.astype("i1").tobytes() + np.array([[128, 0], [-128, 5]], "i2").tobytes()
    assert both["zlib -9"].levels == len(zlib.compress(data, 9))
    assert both["xz -9e"].levels == len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    # A level of 127 or of −128 takes one byte, 32,768 takes four.
    for levels, dtype in (([127, -128], "i1"), ([32767, -32768], "i2"), ([32768, 0], "i4")):
        data = np.array([levels], dtype).tobytes()
        assert rungs({"a": quantized([levels], 40000)})["zlib -9"].levels == len(zlib.compress(data, 9))


def test_zstandard_is_a_rung_where_it_is_installed():
    zstandard = pytest.importorskip("zstandard")
    size = len(zstandard.ZstdCompressor(level=19).compress(MATRIX.astype("i1").tobytes()))
    assert rungs()["zstd -19"].levels == size


@pytest.mark.parametrize(
    ("shape", "dtypes"),
    [((3, 128), ("int8", "int8")), ((2, 129), ("int8", "int16")), ((1 << 15, 2), ("int16", "int8")),
     (((1 << 15) + 1, 1), ("int32", "int8"))],
)  # fmt: skip
def test_a_coo_file_has_an_index_vector_a_dimension_no_wider_than_it_needs(shape, dtypes):
    levels = torch.zeros(shape, dtype=torch.int32)
    levels[0, -1], levels[-1, 0] = 5, -6
    places = levels.nonzero(as_tuple=True)
    kept = {
        "w": {
            "indices": [place.to(getattr(torch, dtype)) for place, dtype in zip(places, dtypes, strict=True)],
            "values": levels[places].to(torch.int8),
            "scale": torch.tensor(0.1),
        }
    }
    file = io.BytesIO()
    torch.save(kept, file)
    assert rungs({"w": quantized(levels.tolist())}, coded=0)["COO, torch file"].levels == len(file.getvalue())


def test_bitmap_and_values_go_through_xz_together():
    values = np.array([3, -7, 1, 120], "i1")
    assert rungs()["bitmap + xz"].levels == len(compress(np.packbits(MATRIX != 0).tobytes() + values.tobytes()))
    wide = np.array([[300, 0, -2]])
    planes = np.array([300, -2], "<i2").view(np.uint8).reshape(2, 2).T.tobytes()
    found = rungs({"w": quantized(wide.tolist(), 32767)})["bitmap + xz"].levels
    assert found == len(compress(np.packbits(wide != 0).tobytes() + planes))


def test_relative_indices_are_huffman_coded_with_their_tables():
    # Distances 1, 4, 1, 2; values 3, −7, 1, 120, of which −7 is symbol 0.
    assert [part.tolist() for part in relative_index(MATRIX)] == [[1, 4, 1, 2], [3, -7, 1, 120]]
    distances, values = np.zeros(256, np.uint8), np.zeros(128, np.uint8)
    distances[[1, 2, 4]], values[[10, 0, 8, 127]] = (1, 2, 2), 2
    tables = sum(len(zlib.compress(table.tobytes(), 9)) for table in (distances, values))
    # 1 + 2 + 1 + 2 bits and 4 × 2 bits, a byte each.
    assert rungs()["relative index + Huffman"].levels == 2 * 12 + tables + 1 + 1


def test_a_gap_of_255_zeros_and_more_takes_a_step_that_ends_at_no_value():
    levels = np.zeros(600, np.int32)
    levels[[255, 599]] = 4, 9
    assert [part.tolist() for part in relative_index(levels)] == [[255, 0, 255, 88], [4, 9]]
    levels = np.zeros(300, np.int32)
    levels[254] = 1
    assert [part.tolist() for part in relative_index(levels)] == [[254], [1]]


def test_the_last_rungs_are_the_coders_own_and_its_marks():
    found, own = rungs(), codecs.encode(MATRIX, EarlierTensors()).stream
    assert found["espalier"].levels == len(own) and rungs(coded=77)["espalier"].levels == 77
    assert found["entropy given row and column"].levels == conditional_bytes(MATRIX)
    assert found["order-0 entropy"].levels == bound_bytes(MATRIX)
    assert list(found)[-3:] == ["espalier", "entropy given row and column", "order-0 entropy"]
    assert list(found)[2] == "COO, torch file"
