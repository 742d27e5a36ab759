"""The settings of every stage: frozen, checked, with every default in one place.

A stage's settings are the sections of a study that it reads. A setting at its default is left out of a
run's id, so a new setting with a default renames, and re-runs, nothing.
"""

from typing import Annotated, Literal

from pydantic import Strict, TypeAdapter

from espalier.plan.types import Count, Fraction, Natural, NonNegative, Positive
from espalier.registry import Spec, choice


def _default(kind: str, name: str):
    return TypeAdapter(choice(kind)).validate_python(name)


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
    seed: Natural = 0
    """seed of initialization, order, augmentation and dropout"""


class EvaluateStage(Spec):
    """The test split, scored once, at the end of a chain."""


STAGES: dict[str, type[Spec]] = {"prepare": PrepareStage, "train": TrainStage, "evaluate": EvaluateStage}
"""Stages in the order of a chain; each reads the artifact of the one before it."""


class Settings(PrepareStage, TrainStage, EvaluateStage):
    """All settings of one chain, every stage's together."""

    def stage(self, name: str) -> Spec:
        """The settings that one stage reads."""
        kind = STAGES[name]
        return kind(**{key: getattr(self, key) for key in kind.model_fields})
