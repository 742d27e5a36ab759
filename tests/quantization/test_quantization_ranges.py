"""Ranges of activations: exact counts in whatever batches, and each range the best by its own measure."""

import pytest
import torch

from espalier.quantization.histogram import BINS, Histogram
from espalier.quantization.qparams import fake_quantize
from espalier.quantization.ranges import activation_qparams


def values(kind: str) -> torch.Tensor:
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(1)) ** 3
    return x.relu() if kind == "relu" else x + 0.2


def seen(*parts: torch.Tensor) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


@pytest.mark.parametrize("kind", ["relu", "signed"])
def test_counts_are_exact_and_the_same_for_every_cut_and_order(kind):
    x = values(kind)
    whole = seen(x)
    reach = float(whole.centres[-1] + whole.centres[-1] - whole.centres[-2])
    assert int(whole.counts.sum()) == len(x)
    assert whole.low == min(0.0, float(x.min())) and whole.high == float(x.max())
    edges = torch.arange(-BINS, BINS + 1).double() * float(whole.centres[-1] - whole.centres[-2])
    expected = torch.histogram(x.double(), edges).hist
    # torch counts the last edge in; nothing lies on it here.
    assert torch.equal(whole.counts.double(), expected) and reach > whole.high
    mixed = x.sort().values
    for parts in (x.flip(0).split(777), mixed.split(500), (torch.zeros(0).new_zeros(3), *x.split(5000))):
        other = seen(*parts)
        count = sum(map(len, parts)) - len(x)
        other.counts[BINS] -= count
        assert torch.equal(other.counts, whole.counts)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        seen(torch.tensor([1.0, torch.inf]))


def test_zeros_alone_have_a_range():
    for how in ("minmax", "percentile", "mse", "entropy"):
        assert fake_quantize(
            torch.zeros(2), activation_qparams(seen(torch.zeros(9)), how, 4, symmetric=False)
        ).tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["relu", "signed"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_least_error_beats_the_other_ranges(kind, symmetric, bits):
    x = values(kind)
    histogram = seen(x)
    errors = {
        how: float(
            (fake_quantize(x, activation_qparams(histogram, how, bits, symmetric=symmetric)) - x).square().mean()
        )
        for how in ("minmax", "percentile", "mse", "entropy")
    }
    assert errors["mse"] <= 1.01 * min(errors.values())
    assert errors["mse"] < 0.95 * errors["minmax"]


def test_percentiles_leave_that_much_beyond():
    x = values("signed")
    qparams = activation_qparams(seen(x), "percentile", 8, symmetric=False, percentile=99.0)
    low, high = -float(qparams.zero_point * qparams.scale), float((255 - qparams.zero_point) * qparams.scale)
    ends = torch.quantile(x, torch.tensor([0.01, 0.99]))
    torch.testing.assert_close(torch.tensor([low, high]), ends, atol=0.15, rtol=0)


def test_entropy_cuts_outliers_off_and_no_more():
    x = torch.cat((torch.randn(50_000, generator=torch.Generator().manual_seed(2)), torch.tensor([80.0])))
    qparams = activation_qparams(seen(x), "entropy", 8, symmetric=True)
    assert 2.5 < float(qparams.scale * 127) < 10


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_do_not_narrow_the_range_of_entropy(bits):
    x = torch.randn(60_000, generator=torch.Generator().manual_seed(2)).abs()
    sparse = torch.cat((x, torch.zeros(140_000)))
    with_zeros, without = (activation_qparams(seen(one), "entropy", bits, symmetric=False) for one in (sparse, x))
    torch.testing.assert_close(with_zeros.scale, without.scale, rtol=0.1, atol=0)
    assert float(with_zeros.scale * with_zeros.highest) > 0.6 * float(x.max())
