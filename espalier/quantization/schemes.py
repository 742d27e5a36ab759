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
    """Levels fitted on unlabelled training images and then fixed: what an image scores does not depend on the images
    beside it.

    Args:
        granularity: a weight has a scale an output channel, or one for all
        symmetric_weights: levels of weights lie evenly around zero; those that do not need rounding nearest
        symmetric_activations: levels of activations lie evenly around zero, half of them unused after a ReLU
        weight_range: range of a channel's levels: all of its weights', or that of least squared error
        rounding: nearest; or compensated, where the rest of a filter makes up for errors already made (GPTQ)
        activation_range: range of an activation's levels: all that was seen in calibration, a percentile of it, or
            that of least squared error or least divergence
        percentile: percent of an activation's values that lie within either end, where a percentile is the range
        statistics: those of batch normalization are shifted by as much as quantization moves them on unlabelled
            training images; or estimated from these anew; or kept
        first_bits: least width of the first layer's weights and of the image, where the network is quantized
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized
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
    """Symmetric levels per tensor, scale = max|x| / (2^(bits - 1) - 1); an activation's over each batch anew.

    Nothing is calibrated, and what an image scores depends on the batch that it is in.

    Args:
        first_bits: least width of the first layer's weights and of the image, where the network is quantized
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized
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
    """Levels chosen by error and bits at once, for a small coded file: steps and new zeros follow from one price of a
    bit, for all layers. `weight_bits` is the most that a level may take. Name one of price, bytes and drop.

    Args:
        price: mean squared change of the logits, summed over classes, that one bit of the file is worth (the λ of
            rate-distortion optimization); greater ones make smaller files
        bytes: find the least price with which the file of encode, with shrink, fold and fp16, is at most so large
        drop: find the greatest price with which validation top-1 falls by at most so many points, activations in floats
        granularity: a weight has a scale an output channel, or one for all
        symmetric_activations: levels of activations lie evenly around zero, half of them unused after a ReLU
        activation_range: range of an activation's levels: all that was seen in calibration, a percentile of it, or
            that of least squared error or least divergence
        percentile: percent of an activation's values that lie within either end, where a percentile is the range
        statistics: those of batch normalization are shifted by as much as quantization moves them on unlabelled
            training images; or estimated from these anew; or kept
        first_bits: least width of the first layer's weights and of the image, where the network is quantized
        classifier_bits: least width of the classifier's weights and inputs, where the network is quantized
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
