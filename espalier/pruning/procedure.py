"""Cutting and training in rounds, from any point of it to the end."""

import logging
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from espalier.data.policy import Policy
from espalier.data.resident import Resident
from espalier.metrics import cost
from espalier.metrics.accuracy import score
from espalier.pruning import masks
from espalier.pruning.account import nonzeros, sparsity
from espalier.pruning.cuts import Cut, Subject
from espalier.pruning.round_state import Good, Rounds, Saver
from espalier.pruning.shapes import initialized, rebuild, shapes
from espalier.runs.checkpoint import read, write
from espalier.runs.columns import BEST_EPOCH, ROUNDS, write_rows
from espalier.runs.record import CHECKPOINTS
from espalier.runs.work import Work
from espalier.seeding import key
from espalier.settings.registry import Choice
from espalier.settings.sections import Training
from espalier.site import device, ranks
from espalier.training.loop import fit
from espalier.training.selection import best
from espalier.training.state import State
from espalier.training.strided import sound
from espalier.training.watch import Watch, continued_history

if TYPE_CHECKING:
    from accelerate import Accelerator

_TAYLOR_BATCHES = 8
"""Batches of training images whose gradients rank channels."""

log = logging.getLogger("espalier")


@dataclass
class Pruning:
    """One run's settings and surroundings."""

    method: Choice
    """what to prune and how"""
    control: str | None
    """what the pruned network is compared with: random choices, or the pruned structure trained from scratch"""
    policy: Policy
    seed: int
    parent: nn.Module
    choice: Choice
    """settings that build the parent, before any pruning"""
    shapes: dict[str, Any] | None
    """the parent's widths, where they are not those of its settings"""
    data: Resident
    train: Training
    """how each round trains: fine-tuning, or the whole training of a control from scratch"""
    teacher: nn.Module | None
    """a network on the device whose answers each round learns"""
    accelerator: "Accelerator"
    work: Work

    def __post_init__(self) -> None:
        self.cut: Cut = self.method.build()
        self.params_before = cost.params(self.parent)
        self.floor = self.cut.floor(self._score(self._placed(self.parent))["validation_top1"])

    def run(self, rounds: Rounds, saver: Saver) -> nn.Module:
        """Cut and train, round after round, from where `rounds` is; the network to keep, on the CPU."""
        while not self._over(rounds):
            model = self._rebuilt(rounds.shapes) if rounds.inner else self._next(rounds)
            scores = self._train(model, rounds, saver)
            self._record(model, rounds, scores)
            if not self._over(rounds):
                saver.save(None)
        if rounds.good is None:
            log.warning("the first round ended below the floor of %.2f %%, so nothing is pruned", self.floor)
            return self.parent
        model = self._rebuilt(rounds.good.shapes).cpu()
        model.load_state_dict(rounds.good.weights)
        return self.cut.finish(model, self.data.image_size, self.data.channels)

    def scores(self, rounds: Rounds) -> dict[str, Any]:
        """What the network to keep scored, and after how many rounds and epochs: columns of metrics.csv."""
        found = rounds.good.scores if rounds.good else self._score(self._placed(self.parent))
        kept = sum(row["kept"] for row in rounds.rows)
        row = {name: found.get(name) for name in BEST_EPOCH}
        return row | {"rounds": kept, "epochs": len(rounds.history), "best_epoch": found.get("epoch", 0)}

    def _over(self, rounds: Rounds) -> bool:
        if not rounds.rows:
            return False
        ended = len(rounds.rows) >= self.cut.rounds or not rounds.rows[-1]["kept"]
        return ended or (len(rounds.rows) > 1 and rounds.rows[-1]["nonzeros"] == rounds.rows[-2]["nonzeros"])

    def _next(self, rounds: Rounds) -> nn.Module:
        """The network of the last good round, cut further by the main process, which gives it to the others."""
        if ranks.world() == 1:
            return self._further(rounds)
        path = self.work.folder / CHECKPOINTS / "cut.safetensors"
        if ranks.main():
            model = self._further(rounds)
            write(path, {"weights": model.state_dict(), "shapes": rounds.shapes, "kept": rounds.kept})
        ranks.agree(ranks.NOTHING)
        cut = read(path)
        rounds.shapes, rounds.kept = cut["shapes"], cut["kept"]
        if not ranks.main():
            model = self._rebuilt(rounds.shapes)
            model.load_state_dict(cut["weights"])
        return model

    def _further(self, rounds: Rounds) -> nn.Module:
        good = rounds.good
        model = self._rebuilt(good.shapes if good else self.shapes)
        model.load_state_dict(good.weights if good else self.parent.state_dict())
        rounds.kept = self.cut.cut(self._subject(model, rounds), good.kept if good else None)
        rounds.shapes = shapes(model)
        if self.control == "scratch":
            device.seed(self.accelerator.device, self.seed, "init")
            model = initialized(self._built(), rounds.shapes)
        if rounds.kept is not None:
            masks.apply(model, rounds.kept)
        return self._placed(model)

    def _train(self, model: nn.Module, rounds: Rounds, saver: Saver) -> dict[str, Any]:
        """Train the cut network, or go on with it; the scores of its best epoch, whose weights it then has."""
        if not self.train.epochs:
            return self._score(model)
        steps = self.data.steps_per_epoch(self.train.batch_size)
        # Accelerate holds on to every network it was given, and the scale of fp16 starts anew with each round.
        self.accelerator.free_memory()
        if self.accelerator.scaler:
            self.accelerator.scaler = type(self.accelerator.scaler)()
        state = State.begin(model, self.train, steps, scaler=self.accelerator.scaler, clock=self.work.clock)
        if rounds.inner:
            state.load_state_dict(rounds.inner)
            log.info("resumed in round %d, epoch %d, step %d", len(rounds.rows) + 1, state.epoch, state.step)
        epochs = self.train.epochs
        watch = Watch(self.work, saver, state, epochs=epochs, steps_per_epoch=steps, earlier=rounds.history)
        total = epochs * steps

        subject, keep_zeros = self._subject(model, rounds), masks.enforcer(model, rounds.kept or {})

        def stepped(state: State) -> None:
            nonlocal keep_zeros
            done = (state.epoch - 1) * steps + state.step + 1
            kept = self.cut.refine(subject, rounds.kept, done, total)
            if kept is not rounds.kept:
                rounds.kept, keep_zeros = kept, masks.enforcer(model, kept)
            keep_zeros()

        # From scratch, the final structure is there from the first epoch.
        eligible = 1 if self.control == "scratch" else self.cut.eligible(self.train.epochs)
        fit(
            state,
            self.data,
            self.policy,
            self.train,
            seed=key("round", self.seed, len(rounds.rows) + 1),
            accelerator=self.accelerator,
            watch=watch,
            stepped=stepped,
            eligible=eligible,
            teacher=self.teacher,
        )
        model.load_state_dict(state.best)
        chosen = best(state.history[eligible - 1 :], self.train.select)
        earlier = len(rounds.history)
        rounds.history = continued_history(rounds.history, state.history)
        rounds.inner = None
        return dict(chosen) | {"epoch": earlier + chosen["epoch"]}

    def _record(self, model: nn.Module, rounds: Rounds, scores: dict[str, Any]) -> None:
        """End the round: its row, and the network if it is good."""
        kept = scores["validation_top1"] >= self.floor
        zeros = sparsity(model)
        rounds.rows.append(
            {
                "round": len(rounds.rows) + 1,
                "sparsity": zeros,
                "nonzeros": nonzeros(model),
                "params": cost.params(model),
                "epochs": len(rounds.history),
                "validation_loss": scores["validation_loss"],
                "validation_top1": scores["validation_top1"],
                "kept": int(kept),
            }
        )
        if kept:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            rounds.good = Good(weights, rounds.shapes, rounds.kept, scores)
        if ranks.main():
            write_rows(self.work.folder / "rounds.csv", ROUNDS, rounds.rows)
        log.info(
            "round %d: %.2f %% of the weights are zero, validation top-1 %.2f %%%s",
            *(len(rounds.rows), zeros, scores["validation_top1"], "" if kept else ", below the floor"),
        )

    def _subject(self, model: nn.Module, rounds: Rounds) -> Subject:
        return Subject(
            model=model,
            image_size=self.data.image_size,
            channels=self.data.channels,
            seed=key("prune", self.seed, len(rounds.rows) + 1),
            control=self.control,
            gradients=self._gradients,
            correct=lambda: self._correct(model),
        )

    def _rebuilt(self, widths: dict[str, Any] | None) -> nn.Module:
        """The parent's network with the given widths, freshly initialized, on the device."""
        return self._placed(rebuild(self._built(), widths) if widths else self._built())

    def _built(self) -> nn.Module:
        return self.choice.build(self.data.num_classes, self.data.image_size, self.data.channels)

    def _placed(self, model: nn.Module) -> nn.Module:
        layout = torch.channels_last if self.train.channels_last else torch.contiguous_format
        return model.to(self.accelerator.device, memory_format=layout)

    def _score(self, model: nn.Module) -> dict[str, float]:
        batches = self.data.batches("validation", self.train.batch_size, channels_last=self.train.channels_last)
        own = islice(batches, ranks.rank(), None, ranks.world())
        found = score(model, own, classes=self.data.num_classes, total=ranks.total)
        return {f"validation_{name}": value for name, value in found.items()}

    def _correct(self, model: nn.Module) -> int:
        """Validation images that a network answers rightly; no process waits for another, since one alone asks."""
        batches = self.data.batches("validation", self.train.batch_size, channels_last=self.train.channels_last)
        return round(score(model, batches)["top1"] * self.data.size("validation") / 100)

    def _gradients(self, model: nn.Module) -> None:
        """Gradients of the loss on the first training batches, without augmentation, into the parameters."""
        model.eval()
        model.zero_grad()
        batches = self.data.train_batches(Policy(), epoch=1, seed=self.seed, batch_size=self.train.batch_size)
        with sound(model):
            for _, batch in zip(range(_TAYLOR_BATCHES), batches, strict=False):
                cross_entropy(model(batch.inputs), batch.labels).backward()
