"""Levels and what they stand for: exact at the ends, at zero, and within half a step between."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.quantization.qparams import choose_qparams, dequantize, extent, fake_quantize, levels, quantize
from espalier.quantization.sizes import theoretical_mib
from espalier.quantization.weights import nearest


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [*range(2, 17)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_number_within_the_range_moves_by_half_a_step_at_most(bits, symmetric, axis):
    x = normal(5, 7, 11) + 0.3
    qparams = choose_qparams(*extent(x, axis), bits, symmetric=symmetric)
    found = quantize(x, qparams)
    assert found.dtype == torch.int32
    assert qparams.lowest <= found.min() and found.max() <= qparams.highest
    assert qparams.scale.numel() == (1 if axis is None else x.shape[axis])
    # An asymmetric zero point is itself rounded, by which an end may move half a step.
    most = qparams.scale * (0.5 if symmetric else 1.0)
    assert ((dequantize(found, qparams) - x).abs() <= most * (1 + 1e-4) + 1e-6).all()
    assert torch.equal(quantize(torch.zeros(()), qparams), qparams.zero_point)
    assert not torch.signbit(dequantize(qparams.zero_point, qparams)).any()
    if axis is None:
        # Times the reciprocal in place of a division: a tie may fall to the other side.
        wrong = (fake_quantize(x, qparams) - dequantize(found, qparams)).abs()
        assert (wrong > 0.5 * qparams.scale).float().mean() < 0.01
        assert wrong.max() <= 1.001 * qparams.scale


def test_levels_and_scales_are_those_of_the_formulas():
    assert levels(8, True) == (-127, 127)
    assert levels(4, False) == (0, 15)
    x = torch.tensor([-1.2, 0.0, 0.5, 2.0])
    plain = choose_qparams(*extent(x), 4, symmetric=True)
    assert plain.scale == torch.tensor(2.0) / 7
    assert quantize(x, plain).tolist() == [-4, 0, 2, 7]
    affine = choose_qparams(*extent(x), 2, symmetric=False)
    assert affine.scale == torch.tensor(3.2) / 3 and affine.zero_point == 1
    assert quantize(torch.tensor([-9.0, -1.0, 0.0, 1.2, 9.0]), affine).tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("low, high", [(2.0, 5.0), (-5.0, -2.0), (0.0, 0.0)])
def test_zero_is_a_level_of_every_range(low, high):
    for symmetric in (True, False):
        qparams = choose_qparams(torch.tensor(low), torch.tensor(high), 4, symmetric=symmetric)
        assert fake_quantize(torch.zeros(3), qparams).tolist() == [0.0] * 3


@pytest.mark.parametrize("bits", [1, 17, 32, 0, -4])
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError, match=f"{bits} bits; a quantized tensor has from 2 to 16"):
        levels(bits, True)


@given(st.integers(2, 16), st.integers(0, 2**30), st.sampled_from(["tensor", "channel"]))
@settings(max_examples=40, deadline=None)
def test_rounding_twice_is_rounding_once(bits, seed, granularity):
    weight = normal(4, 6, 3, seed=seed)
    once = nearest(weight, bits, granularity)
    again = nearest(once.dequantize(), bits, granularity)
    assert torch.equal(again.levels, once.levels)
    torch.testing.assert_close(again.qparams.scale, once.qparams.scale)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_range_of_least_error_has_no_more_than_the_whole(bits):
    weight = normal(16, 40) ** 3
    weight[3] = 0
    weight[:, ::3] = 0
    errors = {}
    for how in ("minmax", "mse"):
        found = nearest(weight, bits, "channel", how)
        assert not found.dequantize()[weight == 0].any()
        errors[how] = (found.dequantize() - weight).square().sum(1)
    assert (errors["mse"] <= errors["minmax"]).all()
    assert bits == 8 or errors["mse"].sum() < errors["minmax"].sum()


def test_sizes_of_report_004():
    sizes = {w: theoretical_mib(96_871, 34_122, w) for w in (32, 16, 12, 8, 6, 4)}
    published = {32: 0.684465, 16: 0.499699, 12: 0.453507, 8: 0.407315, 6: 0.384219, 4: 0.361124}
    assert {w: round(size, 6) for w, size in sizes.items()} == published
