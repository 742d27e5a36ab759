"""The settings of every stage: frozen, checked, with every default in one place.

A stage's settings are the sections of a study that it reads. A setting at its default is left out of a
run's id, so a new setting with a default renames, and re-runs, nothing.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Strict, TypeAdapter

from espalier.plan.types import Count, Fraction, Natural, NonNegative, Positive
from espalier.registry import Spec, choice


def _default(kind: str, named: str | dict):
    return TypeAdapter(choice(kind)).validate_python(named)


class EarlyStopping(Spec):
    """Stop when validation has not improved for a while."""

    patience: Count
    """epochs without improvement before training stops"""
    min_delta: NonNegative = 0.0
    """smallest change of the selection metric that counts as improvement (points of top-1, or nats of loss)"""


class Lookahead(Spec):
    """Slow weights that follow the optimizer's fast ones (Zhang et al. 2019, arXiv 1907.08610)."""

    k: Count = 5
    """optimizer steps between two updates of the slow weights"""
    alpha: Fraction = 0.5
    """step of the slow weights towards the fast ones"""


class Training(Spec):
    """How a network is trained."""

    epochs: Count = 10
    """passes over the training split"""
    batch_size: Count = 128
    """images a step, over all processes"""
    optimizer: choice("optimizer", "sgd") = _default("optimizer", "sgd")
    """optimizer, by name or with its settings"""
    scheduler: choice("scheduler", "cosine") = _default("scheduler", "cosine")
    """learning-rate schedule, by name or with its settings"""
    warmup_epochs: NonNegative = 0.0
    """epochs of linear warm-up from zero in front of the schedule; fractions are allowed"""
    lookahead: Lookahead | None = None
    """wrap the optimizer in Lookahead"""
    label_smoothing: Fraction = 0.0
    """probability mass taken from the true class and spread over all classes"""
    clip_norm: Positive | None = None
    """largest L2 norm of the gradient of all parameters together"""
    early_stopping: EarlyStopping | None = None
    """stop when validation has not improved for a while"""
    select: Literal["top1", "loss"] = "top1"
    """validation metric that chooses the best epoch; ties go to the lower loss, then to the earlier epoch"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """arithmetic of the forward pass; parameters stay fp32"""
    channels_last: bool = True
    """keep images and weights in NHWC memory order"""
    deterministic: bool = True
    """only deterministic kernels, so that a run gives the same bits again on the same hardware"""
    processes: Count = 1
    """data-parallel processes, each with its share of every batch"""


class FineTuning(Training):
    """How a network is trained after it was pruned: the keys of `train`, with a low rate."""

    epochs: Natural = 5
    """passes over the training split after pruning, in each round where there are several; 0 for none"""
    optimizer: choice("optimizer", "sgd") = _default("optimizer", {"name": "sgd", "lr": 0.01})
    """optimizer, by name or with its settings"""


class PrepareStage(Spec):
    """A data set as one file: images, labels, splits, class names, statistics."""

    dataset: choice("dataset")
    """data set, by name or with its settings"""


class TrainStage(Spec):
    """A network trained on the train split, its best epoch chosen on the validation split."""

    model: choice("model")
    """network, by name or with its settings"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, in order, by name or with their settings"""
    train: Training = Training()
    """how the network is trained"""
    pretrained: bool = False
    """start from the ImageNet weights that torchvision or timm publish, as far as their shapes fit"""
    seed: Natural = 0
    """seed of initialization, order, augmentation and dropout"""


class PruneStage(Spec):
    """Weights or channels removed from a trained network, and the rest fine-tuned."""

    prune: choice("pruning") | None = None
    """what to prune and how, by name or with its settings; null leaves the stage out"""
    control: Literal["random", "scratch"] | None = None
    """what the pruned network is compared with: as many weights or channels chosen at random, or the pruned
    structure with new weights, trained from scratch for the epochs of training and fine-tuning together"""
    fine_tune: FineTuning = FineTuning()
    """how the pruned network is trained"""
    augment: Annotated[tuple[choice("augmentation"), ...], Strict(False)] = ()
    """augmentations of the training images, those of training"""
    seed: Natural = 0
    """seed of order, augmentation, dropout and random choices"""


class Evaluation(Spec):
    """What scoring the test split leaves beside its metrics."""

    predictions: bool = False
    """write predictions.csv: every test image with its class, the predicted one and the probability of each"""


class EvaluateStage(Spec):
    """The test split, scored once, at the end of a chain."""

    evaluate: Evaluation = Evaluation()
    """what evaluation writes"""


STAGES: dict[str, type[Spec]] = {
    "prepare": PrepareStage,
    "train": TrainStage,
    "prune": PruneStage,
    "evaluate": EvaluateStage,
}
"""Stages in the order of a chain; each reads the artifact of the one before it."""

OPTIONAL = ("prune",)
"""Stages left out of a chain where the section that bears their name is null."""


class Settings(PrepareStage, TrainStage, PruneStage, EvaluateStage):
    """All settings of one chain, every stage's together."""

    def stages(self, wanted: Collection[str]) -> tuple[str, ...]:
        """The stages of the chain: those wanted, less the optional ones that the settings leave out."""
        chosen = (name for name in STAGES if name in wanted or name == "prepare")
        return tuple(name for name in chosen if name not in OPTIONAL or getattr(self, name) is not None)

    def stage(self, name: str) -> Spec:
        """The settings that one stage reads."""
        kind = STAGES[name]
        return kind(**{key: getattr(self, key) for key in kind.model_fields})

    def unread(self) -> set[str]:
        """Sections that only stages left out of the chain read; the one whose null leaves a stage out is read."""
        read = {key for name in self.stages(STAGES) for key in STAGES[name].model_fields}
        return set(type(self).model_fields) - read - set(OPTIONAL)

    def reduced(self) -> "Settings":
        """The same chain, with what it does not read at its defaults."""
        return self.model_copy(update={key: type(self).model_fields[key].default for key in self.unread()})
