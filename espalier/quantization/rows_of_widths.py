"""All settings of a grid of widths in one process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import Scheme


def grid(
    model: nn.Module,
    weight_bits: Iterable[int],
    activation_bits: Sequence[int],
    scheme: Scheme,
    calibration_batches: Sequence[Tensor],
    score: Callable[[nn.Module], dict[str, Any]],
) -> list[dict[str, Any]]:
    """A row for each width of weights and each of activations, with what `score` says of the network set to them.

    The network is left as it was.
    """
    return list(rows(model, weight_bits, activation_bits, scheme, calibration_batches, score))


def rows(
    model: nn.Module,
    weight_bits: Iterable[int],
    activation_bits: Sequence[int],
    scheme: Scheme,
    calibration_batches: Sequence[Tensor],
    score: Callable[[nn.Module], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The rows of `grid`, each as soon as it is known; the network is as it was once the last is taken."""
    quantizer = Quantizer(model, scheme, calibration_batches)
    try:
        for weights in weight_bits:
            for activations in activation_bits:
                quantizer.set(weights, activations)
                yield {"weight_bits": weights, "activation_bits": activations, **score(model)}
    finally:
        quantizer.close()
