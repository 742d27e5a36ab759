"""The training loop, shared by every stage that trains."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from espalier.errors import Diverged
from espalier.metrics.accuracy import score
from espalier.settings.sections import Training
from espalier.site import device, ranks
from espalier.training import cuda_graph
from espalier.training.buckets import settle
from espalier.training.objective import Objective, class_weights, freeze_statistics, hits, outputs_of
from espalier.training.selection import best, finished
from espalier.training.state import State
from espalier.training.strided import sound
from espalier.training.watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from espalier.data.policy import Policy
    from espalier.data.resident import Batch, Resident

BEYOND_REASON = 1e9
"""A loss, in nats an image, from which no training comes back."""


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
    teacher: torch.nn.Module | None = None,
    capture: cuda_graph.Capture = cuda_graph.cuda,
) -> None:
    """Train from `state` until the epochs are done or early stopping ends it; `state.best` then holds the best weights.

    Every random draw is keyed by (seed, epoch, step or sample), and sums stay on the device until the epoch ends, so
    that a state saved between two steps continues with the same bits.

    Several processes share each batch; they all score the main process's network, so that they decide alike. A process
    whose share is empty runs a black image that does not count. Apart from rounding, losses equal those of one process,
    unless BatchNorm or dropout distinguishes the shares.

    Args:
        stepped: called after each optimizer step, e.g. to set pruned weights back to zero
        eligible: first epoch that may be the best
        teacher: a network on the device, in evaluation mode, for distillation
        capture: records forward and backward pass of a full batch on a GPU

    Raises:
        Diverged: a loss is not finite, or beyond reason, at the end of an epoch.
        Interrupted: `watch` was asked to stop; the state is saved.
        Paused: `watch` pauses the run before its last epoch; the state is saved.
    """
    model = accelerator.prepare_model(state.model, device_placement=True)
    # Batches of one shape; the last of an epoch is as it comes.
    full = torch.compile(model, dynamic=False) if train.compile else model
    # Only fp16 needs the wrapper; each of its steps searches the whole import path for an optional package.
    optimizer = accelerator.prepare_optimizer(state.optimizer, False) if accelerator.scaler else state.optimizer
    objective = Objective(train, class_weights(train, data), teacher, accelerator.autocast)
    world, rank = accelerator.num_processes, accelerator.process_index
    # Fewest images in a share with which BatchNorm uses their statistics: two, or one if full batches give no more.
    enough = min(2, train.batch_size // world)

    def seeded() -> None:
        device.seed(state.sums.device, seed, "dropout", state.epoch, state.step, rank)

    def gradients(batch: "Batch") -> torch.Tensor:
        """Those of a batch; returns the sums of its losses and of its hits, (2,)."""
        outputs = outputs_of(full if len(batch.labels) == train.batch_size else model, batch)
        losses = objective(outputs, batch)
        accelerator.backward(losses.sum() / batch.global_size * world)
        return torch.stack((losses.detach().sum(), hits(outputs.detach(), batch).sum()))

    graphed = gradients
    if train.cuda_graph and not cuda_graph.refusal(accelerator.device, world, train.compile, bool(accelerator.scaler)):
        graphed = cuda_graph.Graphed(gradients, state.model, seeded, capture)
    state.clock.lap()
    with sound(state.model):
        if world > 2:
            settle(model.train(), (data.channels, data.image_size, data.image_size))
        while not finished(state.history, train):
            watch.epoch_begins(state)
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
                sampling=train.sampling,
            ):
                if batch.global_size // world < enough:
                    # The statistics that are used now must not depend on where the run was last taken up.
                    ranks.share_buffers(state.model)
                    if len(batch.labels) < enough:
                        freeze_statistics(model)
                seeded()
                whole = len(batch.labels) == train.batch_size
                sums = graphed(batch) if whole else gradients(batch)
                if train.clip_norm:
                    accelerator.clip_grad_norm_(model.parameters(), train.clip_norm)
                optimizer.step()
                stepped(state)
                state.optimizer.zero_grad()
                state.sums += sums
                state.lr = state.schedule.learning_rate
                state.schedule.step()
                state.step += 1
                watch.step_ended(state)
            loss, correct = (ranks.total(state.sums) / data.size("train")).tolist()
            state.clock.lap("train", "epoch")
            ranks.share_buffers(state.model)
            found = validated(state.model, data, train)
            state.clock.lap("epoch")
            kept = record(state, train, data.size("train"), loss, correct, found, eligible)
            watch.epoch_ended(state, kept)
    watch.close()


def validated(model: torch.nn.Module, data: "Resident", train: Training) -> dict[str, float]:
    """What a network scores on the validation split, of which each of several processes takes some batches."""
    batches = data.batches("validation", train.batch_size, channels_last=train.channels_last)
    return score(model, islice(batches, ranks.rank(), None, ranks.world()), classes=data.num_classes, total=ranks.total)


def record(
    state: State, train: Training, images: int, loss: float, correct: float, found: dict[str, float], eligible: int = 1
) -> Mapping[str, Any] | None:
    """End the epoch: a row of history, the best weights, the schedule's reaction, the next epoch's beginning.

    Returns the row of the best epoch so far; None where none may be the best yet.
    """
    for split, value in (("training", loss), ("validation", found["loss"])):
        # NaN is not less than anything.
        if not value < BEYOND_REASON:
            raise Diverged(
                f"epoch {state.epoch}: the {split} loss is {value}, with a learning rate of {state.lr:g} at its end. "
                "Try a lower optimizer.lr, a warmup_epochs of 1 or more, or clip_norm: 1"
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
    kept = best(state.history[eligible - 1 :], train.select) if state.epoch >= eligible else None
    if kept is row:
        state.best = state.weights()
    state.schedule.epoch_ended(row[f"validation_{train.select}"])
    state.epoch, state.step = state.epoch + 1, 0
    state.sums.zero_()
    state.clock.next_epoch()
    return kept
