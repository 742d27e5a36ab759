"""Quantization-aware fine-tuning of one setting of widths, resumable like any training."""

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from espalier.data.policy import Policy
from espalier.data.resident import Resident
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.qat import convert, prepare_qat
from espalier.quantization.quantized import Quantization
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.work import Work
from espalier.seeding import key
from espalier.settings.sections import Quantization as Settings
from espalier.training.loop import fit
from espalier.training.selection import best
from espalier.training.state import State
from espalier.training.watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger("espalier")


class Tuned(NamedTuple):
    """A network whose weights are on their levels, with floats for activations, and what is to be installed in it."""

    model: nn.Module
    quantization: Quantization
    history: list[dict[str, Any]]
    chosen: dict[str, Any]
    """the row of history of the best epoch"""
    resumed: int


def fine_tune(
    asked: Settings,
    model: nn.Module,
    data: Resident,
    work: Work,
    *,
    policy: Policy,
    teacher: nn.Module | None,
    seed: int,
    accelerator: "Accelerator",
    checkpoints: Checkpoints,
    saved: dict[str, Any] | None,
    price: float | None = None,
) -> Tuned:
    """Train the network, in place, with the levels of its kept setting in sight; steps and weights are learned.

    Args:
        teacher: a network on the device whose answers it learns
        price: of a bit, in place of the scheme's

    Raises:
        Diverged: the loss is not finite.
        Interrupted: the run was asked to stop; its state is saved.
    """
    train = asked.fine_tune
    kept, images = asked.kept(), calibration_batches(data, asked.calibration_images, seed)
    prepare_qat(model, kept.weight_bits, kept.activation_bits, asked.scheme.build(), images, price)
    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    model = model.to(accelerator.device, memory_format=layout)
    steps = data.steps_per_epoch(train.batch_size)
    state = State.begin(model, train, steps, scaler=accelerator.scaler, clock=work.clock)
    if saved:
        state.load_state_dict(saved)
        log.info("resumed at epoch %d, step %d of %d", state.epoch, state.step, steps)
    watch = Watch(work, checkpoints, state, epochs=train.epochs, steps_per_epoch=steps)
    own = key("quantization-aware", seed)
    fit(state, data, policy, train, seed=own, accelerator=accelerator, watch=watch, teacher=teacher)
    model.load_state_dict(state.best)
    found = convert(model)
    return Tuned(
        model,
        Quantization(found.weights, found.activations, {}),
        state.history,
        dict(best(state.history, train.select)),
        state.resumed,
    )
