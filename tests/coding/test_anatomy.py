"""What each byte of a coded file is spent on, against the file itself."""

import numpy as np
import torch

from espalier.coding.anatomy import Part, anatomy, by_purpose
from espalier.coding.decoder import open_parts
from espalier.coding.encoder import encode
from espalier.coding.entropy import bound_bytes, conditional_bytes
from espalier.quantization.qparams import QParams, Quantized
from support.coded_networks import quantized, sparse, taken_apart


def test_parts_are_named_by_purpose_tensor_and_codec_in_the_order_of_the_file(tmp_path):
    path, mixed, whole = tmp_path / "a.esp", sparse((60, 50), 8, 0.1, "anatomy"), np.arange(-8, 8).reshape(4, 4)
    asymmetric = QParams(torch.ones(()), torch.tensor(3, dtype=torch.int32), -16, 15)
    tensors = {
        "mixed": quantized(mixed),
        "bias": torch.randn(60),
        "whole": Quantized(torch.from_numpy(whole.astype(np.int32)), asymmetric),
        "count": torch.tensor(7),
    }
    encode(tensors, {}, path)
    table, rest = taken_apart(path)
    rows, words = {row[0]: row for row in table["levels"]}, {row[0]: row for row in table["words"]}
    assert (rows["mixed"][6], rows["whole"][6]) == (1, 0)
    contents = open_parts(path)
    share = contents.shares[0]
    assert 0.2 < share < 0.8 and contents.shares[1] == 0
    indices = round(rows["mixed"][-1] * share)
    bounds = [(bound_bytes(each), conditional_bytes(each)) for each in (mixed, whole - 3)]
    found = anatomy(contents)
    assert found == [
        Part("header", "", "", 45),
        Part("metadata", "", "xz", path.stat().st_size - 45 - len(rest)),
        Part("checksums", "", "", 4 * 6),
        Part("indices", "mixed", "mixed", indices),
        Part("weights", "mixed", "mixed", rows["mixed"][-1] - indices, *bounds[0]),
        Part("indices", "whole", "dense", 0),
        Part("weights", "whole", "dense", 16 * 4 // 8, *bounds[1]),
        *(
            Part(purpose, kind, words[kind][1], words[kind][2])
            for purpose, kind in (
                ("scales", "scale"),
                ("other parameters", "float32"),
                ("zero points", "zero_point"),
                ("other parameters", "int64"),
            )
        ),
    ]
    assert sum(part.bytes for part in found) == path.stat().st_size


def test_purposes_are_summed_and_the_largest_is_first():
    sizes = [("header", 45), ("weights", 30), ("scales", 50), ("weights", 40), ("checksums", 4)]
    found = by_purpose([Part(purpose, "", "", size) for purpose, size in sizes])
    assert list(found.items()) == [("weights", 70), ("scales", 50), ("header", 45), ("checksums", 4)]
    assert all(type(size) is int for size in found.values())
