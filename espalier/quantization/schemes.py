"""Named ways to quantize a network."""

from dataclasses import dataclass, replace
from typing import Literal

from espalier.quantization.batchnorm import Correction
from espalier.quantization.ranges import Range
from espalier.quantization.weights import Granularity, WeightRange
from espalier.settings.registry import register
from espalier.settings.types import Bits, Count, NonNegative, Percent, Positive


@dataclass(frozen=True)
class Scheme:
    """How weights and activations become levels, at any width."""

    granularity: Granularity
    symmetric_weights: bool
    weight_range: WeightRange
    rounding: Literal["nearest", "compensated", "rate_distortion"]
    activations: Literal["dynamic", "static"]
    symmetric_activations: bool
    activation_range: Range
    percentile: float
    statistics: Correction
    """what becomes of the statistics of batch normalization"""
    first_bits: int | None
    """least width of weights and inputs of the first layer, wherever the network is quantized"""
    classifier_bits: int | None
    price: float | None = None
    """of rate-distortion rounding: mean squared change of the logits that one bit is worth"""
    file_bytes: int | None = None
    """in place of a price: the file is at most so large"""
    drop: float | None = None
    """in place of a price: validation top-1 falls by at most so many points"""

    @property
    def searches(self) -> bool:
        """Whether it has to find its price."""
        return self.file_bytes is not None or self.drop is not None

    @property
    def calibrates(self) -> bool:
        """Whether it looks at training images."""
        return self.statistics != "kept" or self.activations == "static" or self.rounding != "nearest"


@register("quantization")
def calibrated(
    *,
    granularity: Literal["channel", "tensor"] = "channel",
    symmetric_weights: bool = True,
    symmetric_activations: bool = False,
    weight_range: Literal["minmax", "mse"] = "mse",
    rounding: Literal["nearest", "compensated"] = "compensated",
    activation_range: Literal["minmax", "percentile", "mse", "entropy"] = "mse",
    percentile: Percent = 99.99,
    statistics: Literal["shifted", "estimated", "kept"] = "shifted",
    first_bits: Bits | None = 8,
    classifier_bits: Bits | None = None,
) -> Scheme:
    """Levels are fitted on training images, without labels, and then fixed: what an image scores does not depend on the
    images beside it.

    Args:
        granularity: channel: weights have one scale for each output channel; tensor: one for all
        symmetric_weights: levels of weights lie symmetrically around zero; false is possible only with rounding nearest
        symmetric_activations: levels of activations lie symmetrically around zero; half of them are then unused after a
            ReLU
        weight_range: range of a channel's levels. minmax: that of all its weights; mse: the one of least squared error
        rounding: nearest: to the nearest level; compensated: the rest of a filter makes up for errors already made
            (GPTQ)
        activation_range: range of an activation's levels. minmax: all values seen in calibration; percentile: a
            percentile of them; mse: the range of least squared error; entropy: that of least divergence
        percentile: with activation_range percentile, the percent of an activation's values that lie within either end
        statistics: what becomes of the statistics of batch normalization. shifted: changed by as much as quantization
            moves them on training images, without labels; estimated: measured anew on these; kept: left as they are
        first_bits: least width of the first layer's weights and inputs, where the network is quantized; null: as the
            other layers
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized; null: as
            the other layers
    """
    return Scheme(
        granularity=granularity,
        symmetric_weights=symmetric_weights,
        weight_range=weight_range,
        rounding=rounding,
        activations="static",
        symmetric_activations=symmetric_activations,
        activation_range=activation_range,
        percentile=percentile,
        statistics=statistics,
        first_bits=first_bits,
        classifier_bits=classifier_bits,
    )


@register("quantization", dynamic=True)
def naive(*, first_bits: Bits | None = None, classifier_bits: Bits | None = None) -> Scheme:
    """Symmetric levels with one scale for each tensor, max|x| / (2^(bits - 1) - 1), for an activation anew in each
    batch.

    Nothing is calibrated, and what an image scores depends on the batch that it is in.

    Args:
        first_bits: least width of the first layer's weights and inputs, where the network is quantized; null: as the
            other layers
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized; null: as
            the other layers
    """
    return Scheme(
        granularity="tensor",
        symmetric_weights=True,
        weight_range="minmax",
        rounding="nearest",
        activations="dynamic",
        symmetric_activations=True,
        activation_range="minmax",
        percentile=100.0,
        statistics="kept",
        first_bits=first_bits,
        classifier_bits=classifier_bits,
    )


@register("quantization")
def rate_distortion(
    *,
    price: Positive | None = None,
    bytes: Count | None = None,
    drop: NonNegative | None = None,
    granularity: Literal["channel", "tensor"] = "channel",
    symmetric_activations: bool = False,
    activation_range: Literal["minmax", "percentile", "mse", "entropy"] = "mse",
    percentile: Percent = 99.99,
    statistics: Literal["shifted", "estimated", "kept"] = "shifted",
    first_bits: Bits | None = 8,
    classifier_bits: Bits | None = None,
) -> Scheme:
    """Levels are chosen by error and size of the coded file together: step sizes and new zeros follow from the price of
    a bit, one for all layers. `weight_bits` is the most that a level may take. Name one of price, bytes and drop.

    Args:
        price: mean squared change of the logits, summed over classes, that one bit of the file is worth (the λ of
            rate-distortion optimization); a higher price makes a smaller file
        bytes: find the lowest price with which the file of `encode`, with shrink, fold and fp16, has at most this many
            bytes
        drop: find the highest price with which validation top-1 falls by at most this many points, with activations in
            floats
        granularity: channel: weights have one scale for each output channel; tensor: one for all
        symmetric_activations: levels of activations lie symmetrically around zero; half of them are then unused after a
            ReLU
        activation_range: range of an activation's levels. minmax: all values seen in calibration; percentile: a
            percentile of them; mse: the range of least squared error; entropy: that of least divergence
        percentile: with activation_range percentile, the percent of an activation's values that lie within either end
        statistics: what becomes of the statistics of batch normalization. shifted: changed by as much as quantization
            moves them on training images, without labels; estimated: measured anew on these; kept: left as they are
        first_bits: least width of the first layer's weights and inputs, where the network is quantized; null: as the
            other layers
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized; null: as
            the other layers
    """
    plain = calibrated(
        granularity=granularity,
        symmetric_activations=symmetric_activations,
        weight_range="minmax",
        activation_range=activation_range,
        percentile=percentile,
        statistics=statistics,
        first_bits=first_bits,
        classifier_bits=classifier_bits,
    )
    return replace(plain, rounding="rate_distortion", price=price, file_bytes=bytes, drop=drop)
