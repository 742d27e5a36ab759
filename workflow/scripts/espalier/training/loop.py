"""The training loop, shared by every stage that trains."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from espalier import device
from espalier.errors import Diverged
from espalier.measure.accuracy import score
from espalier.plan.spec import Training
from espalier.training.objective import freeze_statistics, hits, loss_of
from espalier.training.selection import best, finished
from espalier.training.state import State
from espalier.training.watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from espalier.data.policy import Policy
    from espalier.data.resident import Resident


def fit(
    state: State,
    data: "Resident",
    policy: "Policy",
    train: Training,
    *,
    seed: int,
    accelerator: "Accelerator",
    watch: Watch,
    stepped: Callable[[State], None] = lambda state: None,
    eligible: int = 1,
) -> None:
    """Train from where `state` is until `train` says it is enough; `state.best` then holds the best epoch's weights.

    Every random draw is keyed by (seed, epoch, step or sample), and sums stay on the device until the epoch ends,
    so a state saved between any two steps goes on with the same bits.

    Args:
        stepped: called after each step of the optimizer, where pruned weights are put back to zero
        eligible: first epoch that may be the best

    Raises:
        Diverged: a loss is not finite at the end of an epoch.
        Interrupted: `watch` was asked to stop; the state is saved.
    """
    model = accelerator.prepare_model(state.model, device_placement=True)
    # Only fp16 needs the wrapper; each of its steps searches the whole import path for an optional package.
    optimizer = accelerator.prepare_optimizer(state.optimizer, False) if accelerator.scaler else state.optimizer
    world, rank = accelerator.num_processes, accelerator.process_index
    state.clock.lap()
    while not finished(state.history, train):
        model.train()
        for batch in data.train_batches(
            policy,
            epoch=state.epoch,
            seed=seed,
            batch_size=train.batch_size,
            first_step=state.step,
            rank=rank,
            world=world,
            channels_last=train.channels_last,
        ):
            if len(batch.labels) == 1 < train.batch_size:
                freeze_statistics(model)
            device.seed(state.sums.device, seed, "dropout", state.epoch, state.step, rank)
            outputs = model(batch.inputs)
            losses = loss_of(outputs, batch, train.label_smoothing)
            accelerator.backward(losses.sum() / batch.global_size * world)
            if train.clip_norm:
                accelerator.clip_grad_norm_(model.parameters(), train.clip_norm)
            optimizer.step()
            stepped(state)
            state.optimizer.zero_grad()
            state.sums += torch.stack((losses.detach().sum(), hits(outputs.detach(), batch).sum()))
            state.lr = state.schedule.learning_rate
            state.schedule.step()
            state.step += 1
            watch.step_ended(state)
        loss, correct = (accelerator.reduce(state.sums) / data.size("train")).tolist()
        state.clock.lap("train", "epoch")
        found = score(model, data.batches("validation", train.batch_size, channels_last=train.channels_last))
        state.clock.lap("epoch")
        record(state, train, data.size("train"), loss, correct, found, eligible)
        watch.epoch_ended(state)
    watch.close()


def record(
    state: State, train: Training, images: int, loss: float, correct: float, found: dict[str, float], eligible: int = 1
) -> None:
    """End the epoch: a row of history, the best weights, the schedule's reaction, the next epoch's beginning."""
    for split, value in (("training", loss), ("validation", found["loss"])):
        if not math.isfinite(value):
            raise Diverged(
                f"epoch {state.epoch}: the {split} loss is {value}, with a learning rate of {state.lr:g} at its end. "
                "Try a lower train.optimizer.lr, a train.warmup_epochs of 1 or more, or train.clip_norm: 1"
            )
    seconds = state.clock.seconds
    row = {
        "epoch": state.epoch,
        "lr": state.lr,
        "train_loss": loss,
        "train_top1": 100 * correct,
        **{f"validation_{metric}": value for metric, value in found.items()},
        "images_per_s": round(images / seconds["train"], 1),
        "epoch_s": round(seconds["epoch"], 3),
    }
    state.history.append(row)
    if state.epoch >= eligible and best(state.history[eligible - 1 :], train.select) is row:
        state.best = state.weights()
    state.schedule.epoch_ended(row[f"validation_{train.select}"])
    state.epoch, state.step = state.epoch + 1, 0
    state.sums.zero_()
    state.clock.next_epoch()
